"""What a coordinator and a region send each other."""
