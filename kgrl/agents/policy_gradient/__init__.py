"""What a policy gradient needs beside the policy: returns, and what is kept of a rollout."""
