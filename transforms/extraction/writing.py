"""Fragment writing: features and failures of a shard's images in, rows of Parquet fragments out."""

import dataclasses
import datetime
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.annotations import given_for_all
from schemas.fragments import Fragment, FragmentWriter, TableName
from schemas.images import SUPERSEDES
from schemas.storage import join
from schemas.store import KnownContents
from schemas.tables import AUGMENTATION, FAILURES, file_schema
from transforms.conv_bases import Features
from transforms.extraction.deduplication import IdenticalImage, read_identical
from transforms.extraction.extraction import Extraction
from transforms.extraction.tasks import ShardTask
from transforms.images import BadImage, Batch, LoadedPicture

_GATHERED_BYTES: Final = 2**20


def write_computed(
    shard: pa.RecordBatch,
    inferred: Iterable[tuple[Batch, Features]],
    extraction: Extraction,
    known: KnownContents | None,
) -> Fragment:
    """Writes what the conv base made of a shard's pictures as a fragment of `features`, while it makes more.

    Args:
        shard: Refs.
        inferred: Batches of their pictures, each with its features.
        extraction: What to do.
        known: The contents to which those of the fragment are added.
    """
    path = extraction.new_path()
    sha256s: list[str] = []
    augmentations: list[int] = []
    with _features_writer(path, extraction) as writer:
        for pictures, features in _gathered(inferred):
            columns = {
                "width": pa.array([loaded.width for loaded in pictures], pa.int32()),
                "height": pa.array([loaded.height for loaded in pictures], pa.int32()),
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
    if known is not None:
        known.add(join(extraction.table_uri(TableName.FEATURES), path), sha256s, augmentations)
    return _described(writer, shard, extraction)


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


def write_identical(
    shard: pa.RecordBatch, identical: Sequence[IdenticalImage], extraction: Extraction, known: KnownContents
) -> Fragment:
    """Writes features that were computed for other images of identical content as a fragment of `features`.

    Args:
        shard: Refs.
        identical: Those of them whose features are known.
        extraction: What to do.
        known: Where the features are.
    """
    sha256_by_row = {image.row: image.sha256 for image in identical}
    names = ["width", "height", *extraction.spec.layers, *_augmentation_column([], extraction)]
    with _features_writer(extraction.new_path(), extraction) as writer:
        for rows, table in read_identical(identical, known, names):
            columns = {name: table[name].combine_chunks() for name in names}
            columns["sha256"] = pa.array([sha256_by_row[row] for row in rows])
            writer.write(_feature_rows(shard, rows, columns, extraction))
    return dataclasses.replace(_described(writer, shard, extraction), reused=True)


def _augmentation_column(augmentations: list[int], extraction: Extraction) -> dict[str, pa.Array]:
    """Returns the column `augmentation`, where the store has it."""
    return {AUGMENTATION: pa.array(augmentations, pa.int32())} if extraction.spec.augmentation else {}


def _features_writer(path: str, extraction: Extraction) -> FragmentWriter:
    uri = extraction.table_uri(TableName.FEATURES)
    return FragmentWriter(uri, TableName.FEATURES, path, extraction.file_schema)


def _described(writer: FragmentWriter, shard: pa.RecordBatch, extraction: Extraction) -> Fragment:
    supersedes = bool(pc.any(shard.column(SUPERSEDES)).as_py())
    given = given_for_all(shard) if extraction.update_labels else None
    return dataclasses.replace(writer.fragment(supersedes=supersedes), given=given)


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


def write_failures(shard: pa.RecordBatch, bad: Sequence[BadImage], task: ShardTask) -> Fragment:
    """Writes the rows of a shard that could not be processed, each with its error, as a fragment of `failures`."""
    schema = file_schema(FAILURES)
    refs = shard.take(pa.array([image.row for image in bad]))
    codes = [image.error.code for image in bad]
    columns = [
        refs.column("uri"),
        refs.column("version"),
        pa.array([code.stage for code in codes]),
        pa.array([str(code) for code in codes]),
        pa.array([image.error.message for image in bad]),
        pa.array([code.permanent for code in codes]),
        pa.array([task.run_id] * len(codes)),
        _now(len(codes)),
    ]
    uri = task.table_uri(TableName.FAILURES)
    with FragmentWriter(uri, TableName.FAILURES, task.new_path(), schema) as writer:
        writer.write(pa.RecordBatch.from_arrays(columns, schema=schema))
    return writer.fragment()


def _now(rows: int) -> pa.Array:
    return pa.array([datetime.datetime.now(datetime.UTC)] * rows, pa.timestamp("us", tz="UTC"))
