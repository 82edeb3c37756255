"""Which model version scores: swapping, shadow scoring and versions that were rejected."""
