"""Names for the types that compiled loops work on.

To Numba an entry of an array is a number of the machine; to mypy it is an object of numpy's, of which
no sum is an `int`. So these names say what is meant to the reader, and mypy leaves them alone.
"""

from typing import Any

import numpy as np

Int = Any
Flag = Any
Word = Any
Int64s = Any
Int32s = Any
Bytes = Any
Flags = Any
Words = Any

ZERO: Int = np.int64(0)
"""Passed in place of a literal 0, for which Numba would compile the called function once more."""
