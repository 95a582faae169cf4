"""Memory that was freed goes back to the system."""

import ctypes
import subprocess
import sys

import pytest

KEPT_THEN_TRIMMED = """
import numpy as np
from pathlib import Path
from transforms.runtime import trim_heap

def taken():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

before = taken()
arrays = [np.ones(25_000, np.float32) for _ in range(2000)]
above = np.ones(25_000, np.float32)
del arrays
kept = taken() - before
trim_heap()
print(kept, taken() - before)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="this C library does not trim its heap")
def test_what_was_freed_of_many_arrays_goes_back_to_the_system() -> None:
    done = subprocess.run([sys.executable, "-c", KEPT_THEN_TRIMMED], capture_output=True, text=True, check=True)
    kept, trimmed = map(int, done.stdout.split())
    assert trimmed < 20_000_000
    assert kept > 150_000_000, "nothing was kept that could have been given back"
