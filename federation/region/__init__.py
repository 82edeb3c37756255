"""What a region does in a round: training, privacy, its own policy."""
