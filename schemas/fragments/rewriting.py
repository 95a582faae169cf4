"""Rows of files written again, to a file of their own: a file that was written once is never changed."""

import dataclasses
import re
import uuid
from collections.abc import Callable, Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from schemas.fragments.fragment import Fragment, FragmentWriter, TableName
from schemas.storage import join, read_batches, read_schema

Keep = Callable[[pa.RecordBatch], pa.Array]
Change = Callable[[pa.RecordBatch], pa.RecordBatch]

# How the names of files begin that are made of committed ones; those of fragments begin with their run.
COMPACTED: Final = "compacted"
SUPERSEDED: Final = "superseded"
TAKEDOWN: Final = "takedown"
RESTORED: Final = "restored"
WIDENED: Final = "widened"

_OF_NO_RUN: Final = frozenset({COMPACTED, SUPERSEDED, TAKEDOWN, RESTORED, WIDENED})
_NAME: Final = re.compile(r"(?P<origin>.+)-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.parquet")


def run_of(path: str) -> str | None:
    """Returns the run that has written a file of a table, by its name; None if none has, or the name does not say."""
    match = _NAME.fullmatch(path.rpartition("/")[2])
    return None if match is None or match["origin"] in _OF_NO_RUN else match["origin"]


def without(uris: pa.Array) -> Keep:
    """Returns what keeps the rows of all images but these."""
    return lambda rows: pc.invert(pc.is_in(rows.column("uri"), value_set=uris))


def keys_of(rows: pa.RecordBatch) -> pa.Array:
    """Returns (uri, version) of rows as one string each; no file's name has a NUL in it."""
    return pc.binary_join_element_wise(rows.column("uri"), rows.column("version"), "\0")


def without_keys(keys: pa.Array) -> Keep:
    """Returns what keeps the rows of all versions of images but these, as `keys_of` returns them."""
    return lambda rows: pc.invert(pc.is_in(keys_of(rows), value_set=keys))


def write_again(
    table_uri: str,
    name: TableName,
    paths: Sequence[str],
    origin: str,
    *,
    schema: pa.Schema | None = None,
    keep: Keep | None = None,
    change: Change | None = None,
) -> Fragment:
    """Writes rows of files of one partition to a new file; holds two row groups in memory.

    Args:
        table_uri: The table's folder.
        name: The table.
        paths: The files, under the folder.
        origin: How the new file's name begins; it stands beside the first of the others.
        schema: The columns of the new file, those that an old one lacks filled with nulls; those of the first file
            unless given.
        keep: Says which rows of a batch are kept, as booleans; all of them unless given.
        change: Returns the rows of a batch with other values; they stay as they are unless given.

    Returns:
        The new file. Nothing is committed.
    """
    new_path = join(paths[0].rpartition("/")[0], f"{origin}-{uuid.uuid4()}.parquet").lstrip("/")
    columns = schema or read_schema(join(table_uri, paths[0]))
    with FragmentWriter(table_uri, name, new_path, columns) as writer:
        for path in paths:
            for rows in read_batches(join(table_uri, path)):
                batch = with_schema(rows, columns)
                batch = change(batch) if change else batch
                writer.write(batch.filter(keep(batch)) if keep else batch)
    return writer.fragment()


def with_schema(rows: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Returns rows with the columns of a schema; those that they lack are filled with nulls."""
    columns = [
        rows.column(field.name).cast(field.type)
        if field.name in rows.schema.names
        else pa.nulls(rows.num_rows, field.type)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def keep_rows(
    table_uri: str,
    fragment: Fragment,
    run_id: str,
    keep: Keep,
    *,
    schema: pa.Schema | None = None,
    change: Change | None = None,
) -> Fragment:
    """Writes some of a fragment's rows to another fragment, which is like it in everything else.

    The new file has a name of its own each time: a run that was killed and one that adopts from it may both do this
    with one fragment, and one of them may have committed already.

    Args:
        table_uri: The table's folder.
        fragment: The fragment.
        run_id: The run that is to commit it.
        keep: Says which rows of a batch are kept, as booleans.
        schema: The columns of the new file; those of the fragment unless given.
        change: Returns the rows of a batch with other values; they stay as they are unless given.
    """
    rest = write_again(table_uri, fragment.table, [fragment.path], run_id, schema=schema, keep=keep, change=change)
    return dataclasses.replace(
        rest,
        supersedes=fragment.supersedes,
        adopted=fragment.adopted,
        reused=fragment.reused,
        given=fragment.given,
    )
