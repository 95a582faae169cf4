"""Takedowns: images leave a store for good, and what is left of them is looked for."""

import argparse
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from schemas.errors import RunFailed, with_count
from schemas.maintenance import find_traces, plan_takedown, take_down, taken_down
from schemas.store import FeatureStore
from transforms.sources import listed_uris


def run_takedown(store: FeatureStore, given: argparse.Namespace) -> Iterator[str]:
    """Takes images out of a store for good, or looks for what is left of them, and yields what was done.

    Raises:
        RunFailed: If they are looked for, and rows of them are found.
    """
    uris = listed_uris(given.uris)
    if given.verify:
        yield from _verified(store, uris)
        return
    done = plan_takedown(store.uri, uris) if given.dry_run else take_down(store.uri, uris, given.reason)
    verb = "would be" if given.dry_run else "is" if done.uris == 1 else "are"
    rows = ", ".join(f"{count} of {name}" for name, count in done.rows.items())
    yield (f"{with_count(done.uris, 'image')} {verb} taken down, {done.recorded} of them newly; rows removed: {rows}.")
    if done.absent:
        yield f"{done.absent} of them have no row in the store; should they come later, they are not extracted."
    if not given.dry_run:
        yield (
            "Their bytes are in older versions until `vacuum` removes these, as `takedown --verify` shows; published "
            "predictions are not touched."
        )


def _verified(store: FeatureStore, uris: pa.Array) -> Iterator[str]:
    """Yields each file that holds rows of images.

    Raises:
        RunFailed: If there is one, or one that cannot be read, or an image has not been taken down.
    """
    traces = list(find_traces(store.uri, uris))
    for trace in traces:
        where = "the newest version" if trace.is_current else "older versions only, or uncommitted"
        yield f"{trace.file_uri}: {trace.how or with_count(trace.rows, 'row')}, in {where}."
    left = len(uris) - (pc.sum(taken_down(store.uri, uris)).as_py() or 0)
    if left:
        raise RunFailed(f"{left} of the {len(uris)} images have not been taken down.")
    if any(trace.is_current for trace in traces):
        raise RunFailed("The newest version has files with rows of these images, or that cannot be read.")
    if traces:
        raise RunFailed(
            f"{with_count(len(traces), 'file holds', 'files hold')} rows of these images, or cannot be read, until "
            "`vacuum` removes them."
        )
    yield f"No file of features and failures holds a row of the {len(uris)} images, which are all taken down."
