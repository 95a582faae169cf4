"""Whether a signal is ending this process: then no shard begins any more."""

_signals: list[int] = []


def interrupt(number: int) -> None:
    """Lets no shard begin in this process from now on; to be called by the handler of the signal."""
    _signals.append(number)


def interrupted_by() -> int | None:
    """Returns the signal that ends this process, if one does."""
    return _signals[0] if _signals else None
