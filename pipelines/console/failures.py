"""Images that failed, a line each."""

import itertools
from collections.abc import Iterator
from typing import Final

from schemas.errors import printable
from schemas.store import FeatureStore, read_failures

_SHOWN: Final = 5


def failure_lines(store: FeatureStore, run_id: str | None = None) -> Iterator[str]:
    """Yields a line for each time that an image failed: when (UTC), code, URI and message, separated by tabs."""
    for batch in read_failures(store, run_id):
        for row in batch.to_pylist():
            said = (row["code"], printable(row["uri"]), printable(row["message"]))
            yield f"{row['failed_at']:%Y-%m-%d %H:%M:%S}\t" + "\t".join(said)


def first_failures(store: FeatureStore, run_id: str) -> list[str]:
    """Returns the first failures of a run, for the message that it failed, and how the others are listed."""
    lines = list(itertools.islice(failure_lines(store, run_id), _SHOWN + 1))
    shown = ["  " + "  ".join(line.split("\t")[1:]) for line in lines[:_SHOWN]]
    if len(lines) > _SHOWN:
        shown.append(f"  … all of them: python -m pipelines.inspect {store.uri} --failures --run={run_id}")
    return shown
