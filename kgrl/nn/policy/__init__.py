"""From a state to an item: the dueling head, the tree policy, scores of the next item."""
