"""Extraction: a shard of image refs in, Parquet fragments of features and failures out. Pure of Beam.

A shard is a chain of iterators: pictures are loaded while the conv base runs on the batches before, and features are
written while it runs on the batches after.
"""

import collections
import concurrent.futures
import dataclasses
import datetime
import enum
import itertools
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.contents import KnownContents, read_known_contents
from schemas.fragments import Fragment, FragmentWriter, TableName
from schemas.images import SUPERSEDES
from schemas.spec import FeatureSpec
from schemas.storage import join
from schemas.store import FeatureStore
from schemas.tables import AUGMENTATION, FAILURES
from transforms.augmented_images import AugmentedImages
from transforms.copies import Copies, Copy, read_copies
from transforms.decoding import DecodingRules
from transforms.engines import Engine, EngineName, Features
from transforms.loading import BadImage, Batch, LoadedPicture, LoadingRules, load_batches
from transforms.metering import Meter
from transforms.progress import PROGRESS
from transforms.workers import Worker

_GATHERED_BYTES: Final = 2**20


class Reuse(enum.StrEnum):
    """Whose features are taken for an image with the same bytes, instead of computing them again."""

    STORE = "store"
    RUN = "run"
    NONE = "none"


@dataclasses.dataclass(frozen=True)
class Extraction:
    """Everything that a worker needs to know besides the shard.

    Attributes:
        store_uri: The store.
        spec: The store's spec.
        schema: The schema of `features`, further columns included.
        run_id: The run.
        ds: The partition date of the rows.
        engine: What runs the conv base.
        batch_size: Images a call of the conv base. The last batch of a shard is padded to it, so that a feature does
            not depend on which images shared its batch.
        formats: The names of the Pillow formats that are taken.
        max_pixels: The most pixels that are decoded.
        max_bytes: The most bytes of a file that are read.
        reuse: Whether features of the same bytes are taken from the store, from what this run has computed in the same
            process, or not at all.
        threads: Threads that run the base, and as many that decode; every core of the worker where it is None.
        deadline: The moment after which no shard begins, if there is one.
    """

    store_uri: str
    spec: FeatureSpec
    schema: pa.Schema
    run_id: str
    ds: datetime.date
    engine: EngineName
    batch_size: int
    formats: tuple[str, ...]
    max_pixels: int
    max_bytes: int
    reuse: Reuse = Reuse.STORE
    threads: int | None = None
    deadline: datetime.datetime | None = None

    @property
    def loading_rules(self) -> LoadingRules:
        """How images are loaded."""
        height, width, _ = self.spec.resolved_input_shape
        decoding = DecodingRules(
            height=height,
            width=width,
            interpolation=self.spec.interpolation,
            apply_exif_orientation=self.spec.exif_orientation == "apply",
            decode=self.spec.decode,
            formats=self.formats,
            max_pixels=self.max_pixels,
        )
        return LoadingRules(decoding, self.max_bytes, self.batch_size)

    @property
    def file_schema(self) -> pa.Schema:
        """The schema of a file of `features`: without the partition column, which is in its path."""
        return self.schema.remove(self.schema.get_field_index("ds"))

    def table_uri(self, table: TableName) -> str:
        """The folder of a table."""
        return join(self.store_uri, table)

    def new_path(self) -> str:
        """A path under a table's folder that nobody else ever writes to, not even another attempt at the same shard."""
        return f"ds={self.ds.isoformat()}/{self.run_id}-{uuid.uuid4()}.parquet"


def known_contents(extraction: Extraction, worker: Worker) -> KnownContents | None:
    """Returns the contents whose features are known to a run in this process, or None if they are not to be reused."""
    if extraction.reuse == Reuse.NONE:
        return None

    def read() -> KnownContents:
        if extraction.reuse == Reuse.RUN:
            return KnownContents()
        features = FeatureStore(extraction.store_uri, extraction.spec).features()
        return read_known_contents(features, extraction.table_uri(TableName.FEATURES))

    return worker.known_contents(extraction.run_id, read)


def extract_shard(
    shard: pa.RecordBatch, worker: Worker, extraction: Extraction, known: KnownContents | None, meter: Meter
) -> list[Fragment]:
    """Computes the features of a shard and writes them.

    Args:
        shard: Refs.
        worker: Loads pictures and runs the conv base.
        extraction: What to do.
        known: The contents whose features need not be computed again, to which those of this shard are added; None
            computes every image.
        meter: Measures the work.

    Returns:
        At most one fragment of `features` with what was computed, one with what was known already, and one of
        `failures`, complete on storage, every ref in one of them: with a row, and in `features` with those of its
        random copies.

    Raises:
        OSError: If the store cannot be written, or the machine is at its limit.
        MemoryError: If there is too little memory.
    """
    bad: list[BadImage] = []
    augmentation = extraction.spec.augmentation
    augmented_images = AugmentedImages(augmentation, shard.column("split")) if augmentation else None
    copies = Copies(known, augmented_images)
    batches = load_batches(
        shard,
        extraction.loading_rules,
        worker.pools,
        bad,
        meter,
        is_wanted=copies.is_new,
        augmented_images=augmented_images,
    )
    fragments = []
    inferred = infer_batches(batches, worker.engine, meter)
    first = next(inferred, None)
    if first is not None:
        fragments.append(_write_computed(shard, itertools.chain([first], inferred), extraction, known))
    copied, bad_copies = copies.settle(bad)
    if known is not None and copied:
        fragments.append(_write_copied(shard, copied, extraction, known))
    if bad:
        fragments.append(write_failures(shard, [*bad, *bad_copies], extraction))
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


def _write_computed(
    shard: pa.RecordBatch,
    inferred: Iterable[tuple[Batch, Features]],
    extraction: Extraction,
    known: KnownContents | None,
) -> Fragment:
    path = extraction.new_path()
    sha256s: list[str] = []
    augmentations: list[int] = []
    with _features_writer(path, extraction) as writer:
        for pictures, features in _gathered(inferred):
            columns = {
                "width": pa.array([loaded.picture.width for loaded in pictures], pa.int32()),
                "height": pa.array([loaded.picture.height for loaded in pictures], pa.int32()),
                "sha256": pa.array([loaded.sha256 for loaded in pictures]),
                **_augmentation_column([loaded.augmentation for loaded in pictures], extraction),
                **{
                    layer: as_lists(floats, extraction.file_schema.field(layer).type)
                    for layer, floats in zip(extraction.spec.layers, features, strict=True)
                },
            }
            writer.write(_feature_rows(shard, [loaded.row for loaded in pictures], columns, extraction))
            sha256s += [loaded.sha256 for loaded in pictures]
            augmentations += [loaded.augmentation for loaded in pictures]
            PROGRESS.add(extracted=sum(loaded.augmentation == 0 for loaded in pictures))
    if known is not None:
        known.add(join(extraction.table_uri(TableName.FEATURES), path), sha256s, augmentations)
    return writer.fragment(supersedes=_supersedes(shard))


def _gathered(inferred: Iterable[tuple[Batch, Features]]) -> Iterator[tuple[list[LoadedPicture], Features]]:
    """Puts small batches together, so that rows are written by the megabyte."""
    pictures: list[LoadedPicture] = []
    parts: list[Features] = []
    gathered = 0
    for batch, features in inferred:
        pictures += batch.pictures
        parts.append([floats[: len(batch.pictures)] for floats in features])
        gathered += sum(floats.nbytes for floats in features)
        if gathered >= _GATHERED_BYTES:
            yield pictures, [np.concatenate(layer) for layer in zip(*parts, strict=True)]
            pictures, parts, gathered = [], [], 0
    if pictures:
        yield pictures, [np.concatenate(layer) for layer in zip(*parts, strict=True)]


def _write_copied(
    shard: pa.RecordBatch, copied: Sequence[Copy], extraction: Extraction, known: KnownContents
) -> Fragment:
    sha256_by_row = {copy.row: copy.sha256 for copy in copied}
    names = ["width", "height", *extraction.spec.layers, *_augmentation_column([], extraction)]
    with _features_writer(extraction.new_path(), extraction) as writer:
        for rows, table in read_copies(copied, known, names):
            columns = {name: table[name].combine_chunks() for name in names}
            columns["sha256"] = pa.array([sha256_by_row[row] for row in rows])
            writer.write(_feature_rows(shard, rows, columns, extraction))
    PROGRESS.add(extracted=len(copied))
    return dataclasses.replace(writer.fragment(supersedes=_supersedes(shard)), reused=True)


def _augmentation_column(augmentations: list[int], extraction: Extraction) -> dict[str, pa.Array]:
    """Returns the column `augmentation`, where the store has it."""
    return {AUGMENTATION: pa.array(augmentations, pa.int32())} if extraction.spec.augmentation else {}


def _features_writer(path: str, extraction: Extraction) -> FragmentWriter:
    uri = extraction.table_uri(TableName.FEATURES)
    return FragmentWriter(uri, TableName.FEATURES, path, extraction.file_schema)


def _supersedes(shard: pa.RecordBatch) -> bool:
    return bool(pc.any(shard.column(SUPERSEDES)).as_py())


def _feature_rows(
    shard: pa.RecordBatch, rows: list[int], columns: Mapping[str, pa.Array], extraction: Extraction
) -> pa.RecordBatch:
    """Puts rows of `features` together, of the refs of a shard and of what was computed or read of them."""
    refs = shard.take(pa.array(rows))
    found = {
        **dict(zip(refs.schema.names, refs.columns, strict=True)),
        **columns,
        "run_id": pa.array([extraction.run_id] * len(rows)),
        "extracted_at": _now(len(rows)),
    }
    schema = extraction.file_schema
    return pa.RecordBatch.from_arrays(
        [found.get(field.name, pa.nulls(len(rows), field.type)) for field in schema], schema=schema
    )


def as_lists(features: np.ndarray, kind: pa.DataType) -> pa.Array:
    """Makes float32 [n, D] a list column without copying the floats."""
    rows, floats = features.shape
    offsets = pa.array(np.arange(rows + 1, dtype=np.int32) * floats)
    return pa.ListArray.from_arrays(offsets, pa.array(features.reshape(-1)), type=kind)


def write_failures(shard: pa.RecordBatch, bad: Sequence[BadImage], extraction: Extraction) -> Fragment:
    """Writes the rows of a shard that could not be processed, each with its error, as a fragment of `failures`."""
    schema = FAILURES.remove(FAILURES.get_field_index("ds"))
    refs = shard.take(pa.array([image.row for image in bad]))
    codes = [image.error.code for image in bad]
    columns = [
        refs.column("uri"),
        refs.column("version"),
        pa.array([code.stage for code in codes]),
        pa.array([str(code) for code in codes]),
        pa.array([image.error.message for image in bad]),
        pa.array([code.permanent for code in codes]),
        pa.array([extraction.run_id] * len(codes)),
        _now(len(codes)),
    ]
    uri = extraction.table_uri(TableName.FAILURES)
    with FragmentWriter(uri, TableName.FAILURES, extraction.new_path(), schema) as writer:
        writer.write(pa.RecordBatch.from_arrays(columns, schema=schema))
    PROGRESS.add(failed=len(bad))
    return writer.fragment()


def _now(rows: int) -> pa.Array:
    return pa.array([datetime.datetime.now(datetime.UTC)] * rows, pa.timestamp("us", tz="UTC"))
