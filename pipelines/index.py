"""python -m pipelines.index: an index of a store's features, by which searches find neighbours without comparing all.

    python -m pipelines.index feature-store
    python -m pipelines.index feature-store --layer=block5_pool --rebuild

It is kept beside the table, in the folder indexes. Given again, the command brings it up to the newest version of the
table: images that came since are put in, and what has left the table leaves it. Searches compare what it has not yet,
and never find by it what has left. It needs faiss: pip install faiss-cpu.
Exit codes: 0 done; 1 the run failed; 2 the command cannot start as it was given.
"""

import math
import time
from collections.abc import Iterator, Sequence

from pipelines.console import size_text
from pipelines.jobs import pinned_version
from pipelines.options import Parser, add_layer_options, run_main
from pipelines.runners import shown_steps
from schemas.errors import RunFailed, UsageError, first_line, with_count
from schemas.search import BuiltIndex, IndexedLayer, build_index, check_faiss
from schemas.storage import check_folder
from schemas.store import FeatureStore
from transforms.runtime import available_cores, available_memory


def parser() -> Parser:
    """Returns the command's parser."""
    command = Parser.of_command("pipelines.index", __doc__)
    add_layer_options(command)
    command.add_argument(
        "--rebuild", action="store_true", help="begin from nothing, and not from the index that is there"
    )
    return command


def main(arguments: Sequence[str]) -> int:
    """Runs the command, prints what it has done, and returns its exit code.

    Raises:
        ConvbaseError: If it cannot start, or fails.
    """
    started = time.perf_counter()
    given = parser().begin(arguments)
    check_faiss()
    store = FeatureStore.open(given.store)
    layer, version = store.layer(given.layer), pinned_version(store, None)
    shape = store.spec.shape_by_layer[layer]
    indexed = IndexedLayer(store.uri, store.scan(table_version=version), version, layer, shape)
    _check_memory(indexed)
    check_folder(f"The store {given.store}", store.uri)
    try:
        with shown_steps() as say:
            built = build_index(indexed, threads=available_cores(), rebuild=given.rebuild, say=say)
    except OSError as error:
        raise RunFailed(f"The index of {given.store} could not be written: {first_line(error)}") from error
    print("\n".join(_lines(built, time.perf_counter() - started)))
    return 0


def _check_memory(indexed: IndexedLayer) -> None:
    """Refuses what memory does not hold: vectors, and as much again, which their lists may take while they grow.

    Raises:
        UsageError: If there is not enough.
    """
    rows = sum(file.rows for file in indexed.rows.files)
    numbers = indexed.shape[-1] if len(indexed.shape) == 3 else math.prod(indexed.shape)
    needed, free = 8 * rows * numbers, available_memory()
    if needed > free:
        raise UsageError(
            f"An index of {rows:,} rows of {numbers:,} numbers takes up to {needed / 1e9:,.1f} GB of memory while it "
            f"is made, and {free / 1e9:,.1f} GB are free: take a layer of fewer numbers."
        )


def _lines(built: BuiltIndex, seconds: float) -> Iterator[str]:
    stored = built.stored
    how = "made" if built.is_new else "brought up to date"
    yield (
        f"The index of layer {stored.layer} is {how}: {with_count(stored.images, 'image')} of version "
        f"{stored.table_version} in {with_count(built.cells, 'cell')}, {size_text(stored.cells.size)}, {seconds:.1f} s."
    )
    yield f"  came                 {with_count(built.came, 'image')}"
    yield f"  left                 {with_count(built.left, 'row')}"
    yield f"  recall               {stored.recall:.1%} of the nearest, looking into {with_count(stored.probes, 'cell')}"


if __name__ == "__main__":
    run_main(main)
