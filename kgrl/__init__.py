"""kgrl: interactive recommendation with a knowledge graph, on PyTorch Geometric."""
