"""Programs that `make` builds for tests into the user's cache."""

import os
import shutil
from pathlib import Path

import pytest


def find_built(target: str, variable: str, program: str) -> Path:
    """Returns a program that tests run, or skips the test.

    Args:
        target: The target of the Makefile that builds it, and its name in the cache.
        variable: The environment variable that names another one.
        program: Its name on PATH.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    built = cache / "convbase" / "bin" / target
    found = os.environ.get(variable) or shutil.which(program) or (built if built.exists() else None)
    if not found:
        pytest.skip(f"needs {target} (make {target}, or {variable}=PATH), which is absent")
    return Path(found)
