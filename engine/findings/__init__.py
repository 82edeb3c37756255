"""Find new and unusual lines in a log without labels: small streaming detectors, and the findings made from them."""
