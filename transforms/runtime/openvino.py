"""Importing OpenVINO without its telemetry, which is on unless it was turned off by a dialogue (2026.4)."""

import sys
from typing import Any, Final

from schemas.errors import shown

# What its Python API raises, for networks too.
OPENVINO_ERRORS: Final = (RuntimeError, ValueError, IndexError, TypeError)

_TELEMETRY: Final = "openvino_telemetry"


def without_telemetry() -> None:
    """Keeps OpenVINO from finding the package that sends how it is used; to be called before its first import."""
    sys.modules[_TELEMETRY] = None  # type: ignore[assignment]  # Importing it fails, which OpenVINO is prepared for.


def import_openvino() -> Any:
    """Imports OpenVINO, without its telemetry, and returns it."""
    without_telemetry()
    import openvino

    return openvino


def why_openvino_fails(error: Exception) -> str:
    """Returns the last line of what OpenVINO says, below the places in its source."""
    lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return shown(lines[-1].strip(), 200)
