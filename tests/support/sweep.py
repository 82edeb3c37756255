"""Sizes of random sweeps: a sample in every run, the whole in `make fuzz`."""

import os

THOROUGH = os.environ.get("DRIFTLINE_HYPOTHESIS") == "random"


def sweep(sample: int, whole: int) -> int:
    """`whole` where random examples are asked for, else `sample`."""
    return whole if THOROUGH else sample
