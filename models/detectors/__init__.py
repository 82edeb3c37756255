"""Window detectors: one file a detector, and the contract checks over all of them."""
