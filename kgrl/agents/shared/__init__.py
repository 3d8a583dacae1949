"""What methods of every kind share: picking items, scores, the items of a saved agent."""
