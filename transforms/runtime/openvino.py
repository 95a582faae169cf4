"""Importing OpenVINO without its telemetry, which is on unless it was turned off by a dialogue (2026.4)."""

import sys
from typing import Any, Final

_TELEMETRY: Final = "openvino_telemetry"


def without_telemetry() -> None:
    """Keeps OpenVINO from finding the package that sends how it is used; to be called before its first import."""
    sys.modules[_TELEMETRY] = None  # type: ignore[assignment]  # Importing it fails, which OpenVINO is prepared for.


def import_openvino() -> Any:
    """Imports OpenVINO, without its telemetry, and returns it."""
    without_telemetry()
    import openvino

    return openvino
