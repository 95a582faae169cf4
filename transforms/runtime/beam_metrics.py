"""What is counted where the runner shows it: Beam metrics in the namespace `convbase`. No decision depends on them."""

from typing import Final

from apache_beam.metrics import Metrics

_NAMESPACE: Final = "convbase"


def count(name: str, number: int = 1) -> None:
    """Adds to a counter."""
    Metrics.counter(_NAMESPACE, name).inc(number)


def record(name: str, value: float) -> None:
    """Adds a value to a distribution."""
    Metrics.distribution(_NAMESPACE, name).update(int(value))
