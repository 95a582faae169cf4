"""The annotations of known images: kept where the input says nothing, brought up to date where it says otherwise."""

import functools
import zlib
from collections.abc import Iterator
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.annotations import completed
from schemas.commits import FileUpdate, update_file
from schemas.fragments import TableName, with_schema
from schemas.images import KNOWN_IN
from schemas.storage import join, read_columns
from schemas.tables import annotation_fields
from transforms.extraction.extraction import Extraction
from transforms.planning import first_occurrences, one_batch
from transforms.shuffle import pack, unpack

# Files are shared out by groups: a batch of refs is not cut into as many pieces as the table has files.
_FILE_GROUPS: Final = 256


def with_known_annotations(shard: pa.RecordBatch, extraction: Extraction) -> pa.RecordBatch:
    """Returns a shard with the annotations of the rows that it supersedes, wherever the input does not say otherwise.

    Args:
        shard: Refs; `KNOWN_IN` names the file with the row of an image that is superseded.
        extraction: What to do.

    Raises:
        OSError: If the store cannot be read.
    """
    paths = pc.unique(shard.column(KNOWN_IN)).drop_null().to_pylist()
    if not paths:
        return shard
    fields = annotation_fields(extraction.schema)
    schema = pa.schema([extraction.schema.field("uri"), *fields])
    uris = shard.column("uri").filter(pc.is_valid(shard.column(KNOWN_IN)))
    files = [join(extraction.table_uri(TableName.FEATURES), path) for path in paths]
    rows = pa.Table.from_batches((batch for file in files for batch in _rows_of(file, schema, uris)), schema)
    return completed(shard, one_batch(rows.take(first_occurrences(rows["uri"])))) if rows.num_rows else shard


def _rows_of(file_uri: str, schema: pa.Schema, uris: pa.Array) -> Iterator[pa.RecordBatch]:
    for rows in read_columns(file_uri, schema.names):
        yield with_schema(rows.filter(pc.is_in(rows.column("uri"), value_set=uris)), schema)


def by_file_group(refs: pa.RecordBatch) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Yields numbers of groups of files, and the refs of images in these files."""
    files = refs.column(KNOWN_IN).dictionary_encode()
    numbers = np.array([zlib.crc32(path.encode()) % _FILE_GROUPS for path in files.dictionary.to_pylist()])
    groups = numbers[files.indices.to_numpy()]
    for group in np.unique(groups):
        yield int(group), refs.filter(pa.array(groups == group))


def update_files(refs: pa.RecordBatch, extraction: Extraction) -> Iterator[FileUpdate]:
    """Writes the files of `features` again that hold images, with what the input says of these.

    Args:
        refs: What the input says; `KNOWN_IN` names the file of each image.
        extraction: What to do.

    Raises:
        OSError: If the store cannot be read or written.
    """
    table_uri = extraction.table_uri(TableName.FEATURES)
    for path in pc.unique(refs.column(KNOWN_IN)).to_pylist():
        packed = pack(refs.filter(pc.equal(refs.column(KNOWN_IN), path)))
        read_refs = functools.partial(unpack, packed)
        update = update_file(table_uri, path, extraction.schema, extraction.run_id, read_refs)
        if update is not None:
            yield update
