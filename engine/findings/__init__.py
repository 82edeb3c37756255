"""Finding what is new or unusual in a log nobody labelled: small streaming detectors and what is made of them."""
