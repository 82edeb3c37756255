import subprocess
import sys

import pytest

PROBE = """
import resource, sys
from engine.runtime.malloc import keep_freed_memory
kept = keep_freed_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
bytearray(8 << 20)
before = faults()
for _ in range(20):
    bytearray(8 << 20)
print(kept, faults() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc is Linux's")
def test_what_is_freed_is_used_again():
    out = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True).stdout.split()
    # Each of the 20 blocks would fault 2,048 times.
    assert out[0] == "False" or int(out[1]) < 2048
