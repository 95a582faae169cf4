"""Extracting: a shard of image refs in, Parquet fragments of features and failures out. Pure of Beam.

A shard is a chain of iterators: pictures are loaded while the conv base runs on the batches before, and features are
written while it runs on the batches after.
"""

import collections
import concurrent.futures
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa

from schemas.errors import FailureCode, ImageError
from schemas.fragments import Fragment, TableName, keep_rows, leave_receipt, without
from schemas.storage import interrupted_by
from schemas.store import FeatureStore, KnownContents, read_known_contents
from transforms.conv_bases import Engine, Features
from transforms.extraction.deduplication import IdenticalImages
from transforms.extraction.extraction import Extraction, Reuse
from transforms.extraction.known_annotations import with_known_annotations
from transforms.extraction.tasks import ShardResult
from transforms.extraction.worker import Worker
from transforms.extraction.writing import write_computed, write_failures, write_identical
from transforms.images import AugmentedImages, BadImage, Batch, ImageFile, LoadedPicture, load_batches
from transforms.planning import before_deadline
from transforms.runtime import Meter, ShardProgress, shard_progress


def compute_shard(shard: pa.RecordBatch, find_worker: Callable[[Meter], Worker], extraction: Extraction) -> ShardResult:
    """Computes the features of a shard if there is time to, and leaves a receipt beside each fragment of them.

    Args:
        shard: Refs.
        find_worker: Returns the worker of this process; it is given the meter, where it has to be loaded.
        extraction: What to do.

    Raises:
        OSError: If the store cannot be written, or the machine is at its limit.
        MemoryError: If there is too little memory.
    """
    if interrupted_by() or not before_deadline(extraction.deadline):
        return ShardResult(remaining=shard.num_rows)
    meter = Meter()
    # Here and not before: a worker without a shard needs no conv base.
    worker = find_worker(meter)
    refs = with_known_annotations(shard, extraction)
    with shard_progress() as progress:
        fragments = extract_shard(refs, worker, extraction, meter, progress)
    for fragment in fragments:
        if fragment.table == TableName.FEATURES:
            leave_receipt(extraction.output_uri, extraction.run_id, fragment)
    return ShardResult(tuple(fragments), meter.measures())


def reusable_contents(extraction: Extraction, worker: Worker) -> KnownContents | None:
    """Returns the contents whose features are known to a run in this process, or None if they are not to be reused."""
    if extraction.reuse == Reuse.NONE:
        return None

    def read() -> KnownContents:
        if extraction.reuse == Reuse.RUN:
            return KnownContents()
        features = FeatureStore(extraction.output_uri, extraction.spec).features()
        return read_known_contents(features, extraction.table_uri(TableName.FEATURES))

    return worker.known_contents(f"{extraction.run_id} {extraction.attempt}", read)


def extract_shard(
    shard: pa.RecordBatch,
    worker: Worker,
    extraction: Extraction,
    meter: Meter,
    progress: ShardProgress,
) -> list[Fragment]:
    """Computes the features of a shard and writes them.

    Args:
        shard: Refs.
        worker: Loads pictures and runs the conv base.
        extraction: What to do.
        meter: Measures the work.
        progress: Counts the images as they pass.

    Returns:
        At most one fragment of `features` with what was computed, one with what was known already, and one of
        `failures`, complete on storage, every ref in one of them: with a row, and in `features` with those of its
        augmented copies.

    Raises:
        OSError: If the store cannot be written, or the machine is at its limit.
        MemoryError: If there is too little memory.
    """
    bad: list[BadImage] = []
    known = reusable_contents(extraction, worker)  # To which those of this shard are added.
    augmentation = extraction.spec.augmentation
    augmented_images = AugmentedImages(augmentation, shard.column("split")) if augmentation else None
    identical = IdenticalImages(known, augmented_images)

    def is_new(file: ImageFile) -> bool:
        is_wanted = identical.is_new(file)
        if not is_wanted:
            progress.add(extracted=1)
        return is_wanted

    batches = load_batches(
        shard,
        extraction.loading_rules,
        worker.pools,
        bad,
        meter,
        is_wanted=is_new,
        augmented_images=augmented_images,
    )
    fragments: list[Fragment] = []
    inferred = counted(finite_only(infer_batches(batches, worker.engine, meter), bad), bad, progress)
    first = next(inferred, None)
    if first is not None:
        computed = write_computed(shard, itertools.chain([first], inferred), extraction, known)
        fragments += without_parts(computed, shard, bad, extraction)
    reused, bad_too = identical.settle(bad)
    if known is not None and reused:
        fragments.append(write_identical(shard, reused, extraction, known))
    if bad:
        fragments.append(write_failures(shard, [*bad, *bad_too], extraction))
    failed = len(bad) + len(bad_too)
    progress.settle(extracted=shard.num_rows - failed, failed=failed)
    return fragments


def infer_batches(batches: Iterable[Batch], engine: Engine, meter: Meter) -> Iterator[tuple[Batch, Features]]:
    """Runs batches through an engine, several of them at once.

    Yields:
        Each batch with its features, in order.
    """
    running: collections.deque[tuple[Batch, concurrent.futures.Future[Features]]] = collections.deque()
    for batch in batches:
        future = engine.submit(batch.pixels)
        meter.inferring(future)
        running.append((batch, future))
        while running and (len(running) >= engine.batches_in_flight or running[0][1].done()):
            oldest, future = running.popleft()
            yield oldest, future.result()
    for oldest, future in running:
        yield oldest, future.result()


def counted(
    inferred: Iterable[tuple[Batch, Features]], bad: Sequence[BadImage], progress: ShardProgress
) -> Iterator[tuple[Batch, Features]]:
    """Counts images while the batches of their pictures pass, and the bad ones among them."""
    for batch, features in inferred:
        pictures = sum(loaded.augmentation == 0 for loaded in batch.pictures)
        progress.add(extracted=pictures, failed=len(bad) - progress.failed)
        yield batch, features


def finite_only(
    inferred: Iterable[tuple[Batch, Features]], bad: list[BadImage], made: str = "features"
) -> Iterator[tuple[Batch, Features]]:
    """Leaves out pictures of which the network makes what is no number: an overflow, most often.

    Args:
        inferred: Batches with their features.
        bad: Where the images that are left out are put.
        made: What the network makes, for messages.

    Yields:
        Batches with their features, which are finite.
    """
    for batch, features in inferred:
        finite = np.logical_and.reduce([_finite_rows(floats[: len(batch.pictures)]) for floats in features])
        if finite.all():
            yield batch, features
            continue
        pictures = [loaded for loaded, is_finite in zip(batch.pictures, finite, strict=True) if is_finite]
        failed = {loaded.row: loaded for loaded, is_finite in zip(batch.pictures, finite, strict=True) if not is_finite}
        before = {image.row for image in bad}  # Some of them for another of their pictures.
        bad += [_not_finite(loaded, made) for row, loaded in failed.items() if row not in before]
        if pictures:
            yield Batch(batch.pixels, pictures), [floats[: len(finite)][finite] for floats in features]


def without_parts(
    computed: Fragment, shard: pa.RecordBatch, bad: Sequence[BadImage], extraction: Extraction
) -> Iterator[Fragment]:
    """Yields what was computed without images of which a part is missing: a picture or an augmented copy failed.

    Args:
        computed: The fragment, in which they may have rows: those of their other pictures were written by then.
        shard: Refs.
        bad: The images that failed.
        extraction: What to do.

    Yields:
        The fragment, or another one in its place; none where no row is left.
    """
    rows = [image.row for image in bad if image.error.code == FailureCode.NOT_FINITE]
    if extraction.spec.augmentation is None or not rows:
        yield computed
        return
    uris = shard.column("uri").take(pa.array(rows))
    whole = keep_rows(extraction.table_uri(TableName.FEATURES), computed, extraction.run_id, without(uris))
    if whole.rows:
        yield whole


def _finite_rows(floats: np.ndarray) -> np.ndarray:
    finite: np.ndarray = np.isfinite(floats).all(axis=tuple(range(1, floats.ndim)))
    return finite


def _not_finite(loaded: LoadedPicture, made: str) -> BadImage:
    copy = f" of its augmented copy {loaded.augmentation}" if loaded.augmentation else ""
    error = ImageError(FailureCode.NOT_FINITE, f"The {made}{copy} are infinite, or no numbers.")
    return BadImage(loaded.row, error, loaded.sha256)
