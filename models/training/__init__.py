"""What training is made of: loops, splits, thresholds, metrics."""
