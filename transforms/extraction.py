"""Extraction: a shard of image refs in, Parquet fragments of features and failures out. Pure of Beam.

A shard is a chain of iterators: images are fetched and decoded in a bounded pool of threads while the conv base runs on
the batch before. Memory is bounded by the pool's window, one batch and one row group, whatever the shard's size.
"""

import collections
import concurrent.futures
import dataclasses
import datetime
import functools
import itertools
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.errors import ImageError
from schemas.fragments import Fragment, FragmentWriter, TableName
from schemas.images import SUPERSEDES, ImageRef, image_refs
from schemas.spec import FeatureSpec
from schemas.storage import join
from schemas.tables import FAILURES
from transforms.decoding import DecodingRules, Picture, decode_image
from transforms.engines import Engine
from transforms.fetching import fetch_image
from transforms.progress import PROGRESS

# Pictures decoded ahead of the conv base, as a multiple of the batch size.
_BATCHES_AHEAD: Final = 2

A = TypeVar("A")
B = TypeVar("B")


@dataclasses.dataclass(frozen=True)
class Extraction:
    """Everything that a worker needs to know besides the shard.

    Attributes:
        store_uri: The store.
        spec: The store's spec.
        schema: The schema of `features`, further columns included.
        run_id: The run.
        ds: The partition date of the rows.
        batch_size: Images a call of the conv base. The last batch of a shard is padded to it, so that a feature does
            not depend on which images shared its batch.
        formats: The names of the Pillow formats that are taken.
        max_pixels: The most pixels that are decoded.
        max_bytes: The most bytes of a file that are read.
        decode_threads: Threads that fetch and decode.
        deadline: The moment after which no shard begins, if there is one.
    """

    store_uri: str
    spec: FeatureSpec
    schema: pa.Schema
    run_id: str
    ds: datetime.date
    batch_size: int
    formats: tuple[str, ...]
    max_pixels: int
    max_bytes: int
    decode_threads: int
    deadline: datetime.datetime | None = None

    @property
    def decoding_rules(self) -> DecodingRules:
        """How bytes become pixels."""
        height, width, _ = self.spec.resolved_input_shape
        return DecodingRules(
            height=height,
            width=width,
            interpolation=self.spec.interpolation,
            apply_exif_orientation=self.spec.exif_orientation == "apply",
            formats=self.formats,
            max_pixels=self.max_pixels,
        )

    def table_uri(self, table: TableName) -> str:
        """The folder of a table."""
        return join(self.store_uri, table)

    def new_path(self) -> str:
        """A path under a table's folder that nobody else ever writes to, not even another attempt at the same shard."""
        return f"ds={self.ds.isoformat()}/{self.run_id}-{uuid.uuid4()}.parquet"


@dataclasses.dataclass
class Batch:
    """Pictures that go through the conv base together.

    Attributes:
        pixels: uint8 [batch_size, H, W, 3]; rows beyond `len(rows)` are padding.
        rows: The rows of the shard that they are.
        pictures: What was decoded, without the pixels' resized form mattering any more.
    """

    pixels: np.ndarray
    rows: list[int]
    pictures: list[Picture]


def extract_shard(
    shard: pa.RecordBatch, engine: Engine, extraction: Extraction, pool: concurrent.futures.Executor
) -> list[Fragment]:
    """Computes the features of a shard and writes them.

    Args:
        shard: Refs.
        engine: Runs the conv base on batches of `extraction.batch_size`.
        extraction: What to do.
        pool: Where images are fetched and decoded.

    Returns:
        At most one fragment of `features` and one of `failures`, complete on storage, every ref a row in one of them.

    Raises:
        OSError: If the store cannot be written, or the machine is at its limit.
        MemoryError: If there is too little memory.
    """
    failures: list[tuple[int, ImageError]] = []
    batches = decoded_batches(shard, extraction, pool, failures)
    fragments = []
    first = next(batches, None)
    if first is not None:
        fragments.append(_write_features(shard, itertools.chain([first], batches), engine, extraction))
    if failures:
        fragments.append(write_failures(shard, failures, extraction))
    return fragments


def decoded_batches(
    shard: pa.RecordBatch,
    extraction: Extraction,
    pool: concurrent.futures.Executor,
    failures: list[tuple[int, ImageError]],
) -> Iterator[Batch]:
    """Fetches and decodes the images of a shard, ahead of whoever takes the batches.

    Args:
        shard: Refs.
        extraction: How images are read.
        pool: Where they are fetched and decoded.
        failures: Where the row and the error of each image that is no picture are put.

    Yields:
        Batches in the order of the shard.
    """
    load = functools.partial(load_picture, rules=extraction.decoding_rules, max_bytes=extraction.max_bytes)
    loaded = bounded_map(pool, load, image_refs(shard), _BATCHES_AHEAD * extraction.batch_size)
    yield from batched_pictures(loaded, extraction, failures)


def load_picture(ref: ImageRef, rules: DecodingRules, max_bytes: int) -> Picture | ImageError:
    """Fetches and decodes an image; what is wrong with it comes back as a value."""
    try:
        return decode_image(fetch_image(ref, max_bytes), rules)
    except ImageError as error:
        return error


def bounded_map(
    pool: concurrent.futures.Executor, function: Callable[[A], B], items: Iterable[A], ahead: int
) -> Iterator[B]:
    """Maps in a pool, in order, with at most `ahead` results computed or waiting (Python 3.14: `map(buffersize=)`)."""
    waiting: collections.deque[concurrent.futures.Future[B]] = collections.deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def batched_pictures(
    loaded: Iterable[Picture | ImageError], extraction: Extraction, failures: list[tuple[int, ImageError]]
) -> Iterator[Batch]:
    """Fills batches with the pictures, and `failures` with the row and error of each image that is none."""
    shape = (extraction.batch_size, *extraction.spec.resolved_input_shape)
    batch = Batch(np.zeros(shape, np.uint8), [], [])
    for row, outcome in enumerate(loaded):
        if isinstance(outcome, ImageError):
            failures.append((row, outcome))
            PROGRESS.add(failed=1)
            continue
        batch.pixels[len(batch.rows)] = outcome.pixels
        batch.rows.append(row)
        batch.pictures.append(outcome)
        if len(batch.rows) == extraction.batch_size:
            yield batch
            batch = Batch(np.zeros(shape, np.uint8), [], [])
    if batch.rows:
        yield batch


def _write_features(
    shard: pa.RecordBatch, batches: Iterator[Batch], engine: Engine, extraction: Extraction
) -> Fragment:
    partitioned = extraction.schema.get_field_index("ds")
    schema = extraction.schema.remove(partitioned)
    uri = extraction.table_uri(TableName.FEATURES)
    with FragmentWriter(uri, TableName.FEATURES, extraction.new_path(), schema) as writer:
        for batch in batches:
            writer.write(
                _feature_rows(shard.take(pa.array(batch.rows)), batch, engine(batch.pixels), extraction, schema)
            )
            PROGRESS.add(extracted=len(batch.rows))
    return writer.fragment(supersedes=bool(pc.any(shard.column(SUPERSEDES)).as_py()))


def _feature_rows(
    refs: pa.RecordBatch, batch: Batch, outputs: list[np.ndarray], extraction: Extraction, schema: pa.Schema
) -> pa.RecordBatch:
    pictures = batch.pictures
    rows = len(pictures)
    computed: dict[str, pa.Array] = {
        "width": pa.array([picture.width for picture in pictures], pa.int32()),
        "height": pa.array([picture.height for picture in pictures], pa.int32()),
        "sha256": pa.array([picture.sha256 for picture in pictures]),
        "run_id": pa.array([extraction.run_id] * rows),
        "extracted_at": _now(rows),
    }
    for layer, output in zip(extraction.spec.layers, outputs, strict=True):
        computed[layer] = as_lists(output[:rows], schema.field(layer).type)
    columns = []
    for field in schema:
        if field.name in computed:
            columns.append(computed[field.name])
        elif field.name in refs.schema.names:
            columns.append(refs.column(field.name))
        else:
            columns.append(pa.nulls(rows, field.type))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def as_lists(features: np.ndarray, kind: pa.DataType) -> pa.Array:
    """Makes float32 [n, D] a list column without copying the floats."""
    rows, floats = features.shape
    offsets = pa.array(np.arange(rows + 1, dtype=np.int32) * floats)
    return pa.ListArray.from_arrays(offsets, pa.array(features.reshape(-1)), type=kind)


def write_failures(shard: pa.RecordBatch, failures: list[tuple[int, ImageError]], extraction: Extraction) -> Fragment:
    """Writes the rows of a shard that could not be processed, each with its error, as a fragment of `failures`."""
    schema = FAILURES.remove(FAILURES.get_field_index("ds"))
    refs = shard.take(pa.array([row for row, _ in failures]))
    codes = [error.code for _, error in failures]
    columns = [
        refs.column("uri"),
        refs.column("version"),
        pa.array([code.stage for code in codes]),
        pa.array([str(code) for code in codes]),
        pa.array([error.message for _, error in failures]),
        pa.array([code.permanent for code in codes]),
        pa.array([extraction.run_id] * len(codes)),
        _now(len(codes)),
    ]
    uri = extraction.table_uri(TableName.FAILURES)
    with FragmentWriter(uri, TableName.FAILURES, extraction.new_path(), schema) as writer:
        writer.write(pa.RecordBatch.from_arrays(columns, schema=schema))
    return dataclasses.replace(writer.fragment(), failures_by_code=tuple(collections.Counter(codes).items()))


def _now(rows: int) -> pa.Array:
    return pa.array([datetime.datetime.now(datetime.UTC)] * rows, pa.timestamp("us", tz="UTC"))
