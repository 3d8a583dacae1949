"""What the methods that learn a Q-function share: the learner, its network, the replay."""
