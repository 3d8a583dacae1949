"""Graph convolution: ``KGConv``, its aggregators, and ``KGEncoder``, which computes what its targets see."""
