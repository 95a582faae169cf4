"""Annotation updates: files of `features` in which the input says something new of images, written again with it.

A worker writes a file again while the run goes on, and the commit of the run has it take the place of the old one.
Where another commit has replaced the old one meanwhile, its rows are looked for in the files that are there then.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from schemas.annotations import annotated, annotation_names, differ, given_text
from schemas.commits.conflicts import Dropped
from schemas.commits.removal import files_holding
from schemas.delta import paths_of
from schemas.fragments import Fragment, TableName, with_schema, write_again
from schemas.images import GIVEN
from schemas.storage import join, read_columns
from schemas.tables import annotation_fields, file_schema


@dataclasses.dataclass(frozen=True)
class FileUpdate:
    """A file that is written and not committed yet, and the file of `features` whose place it is to take.

    Attributes:
        path: The file that is replaced, by its path under the table's folder.
        fragment: Its rows, some of them with other annotations.
        images: The images of these.
        read_refs: Returns the refs that say so.
    """

    path: str
    fragment: Fragment
    images: int
    read_refs: Callable[[], pa.RecordBatch]


def update_file(
    table_uri: str, path: str, schema: pa.Schema, run_id: str, read_refs: Callable[[], pa.RecordBatch]
) -> FileUpdate | None:
    """Writes a file of `features` again with the annotations of refs, unless it has them already.

    Args:
        table_uri: The table's folder.
        path: The file, under the folder.
        schema: The schema of the table.
        run_id: The run that is to commit it.
        read_refs: Returns refs, each URI once; some may be of images in other files.

    Raises:
        OSError: If the store cannot be read or written.
    """
    refs, columns = read_refs(), file_schema(schema)
    images = changed_images(join(table_uri, path), columns, refs)
    if not images:
        return None
    fragment = write_again(
        table_uri, TableName.FEATURES, [path], run_id, schema=columns, change=lambda rows: annotated(rows, refs)
    )
    return FileUpdate(path, fragment, images, read_refs)


def changed_images(file_uri: str, schema: pa.Schema, refs: pa.RecordBatch) -> int:
    """Returns of how many images in a file of `features` the input says something else than the file.

    Args:
        file_uri: The file.
        schema: The schema of the table's files.
        refs: What the input says of images, each URI once; some may be in other files.
    """
    names = [name for name in annotation_names(refs.schema.names) if name in schema.names]
    own = pa.schema([schema.field(name) for name in ("uri", *names)])
    found = []
    for rows in read_columns(file_uri, own.names):
        before = with_schema(rows, own)
        found.append(before.column("uri").filter(pa.array(differ(before, annotated(before, refs)))))
    return len(pc.unique(pa.chunked_array(found, pa.string())))


def updates_on(
    table_uri: str, table: DeltaTable, updates: Sequence[FileUpdate], dropped: Sequence[Dropped], run_id: str
) -> list[FileUpdate]:
    """Returns the updates for a snapshot.

    Args:
        table_uri: The table's folder.
        table: The snapshot.
        updates: Updates for the snapshot on which the run planned.
        dropped: Rows of the run whose images others have committed since, with annotations of their own.
        run_id: The run that is to commit them.
    """
    if not updates and not dropped:
        return []
    present = paths_of(table)
    schema = pa.schema(table.schema())
    refs = [update.read_refs() for update in updates if update.path not in present]
    refs += [rows for each in dropped for rows in _refs_of(table_uri, each, schema)]
    kept = [update for update in updates if update.path in present]
    return [*kept, *_made_again(table_uri, table, refs, run_id)]


def _refs_of(table_uri: str, dropped: Dropped, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Yields what the run's input says of images whose rows were taken out of its fragments."""
    if dropped.fragment.given is None:
        return
    names = [field.name for field in annotation_fields(schema)]
    for rows in dropped.read(table_uri, ["uri", "version", *names]):
        text = pa.array([given_text(dropped.fragment.given)] * rows.num_rows, pa.string())
        yield rows.append_column(GIVEN, text)


def _made_again(
    table_uri: str, table: DeltaTable, batches: Sequence[pa.RecordBatch], run_id: str
) -> Iterator[FileUpdate]:
    if not batches:
        return
    together = pa.concat_tables(map(pa.Table.from_batches, [[batch] for batch in batches]), promote_options="default")
    refs = together.combine_chunks().to_batches(max_chunksize=None)[0]
    schema = pa.schema(table.schema())
    for file in files_holding(table_uri, table, refs.column("uri")):
        here = refs.filter(pc.is_in(refs.column("uri"), value_set=file.gone))
        update = update_file(table_uri, file.path, schema, run_id, functools.partial(_itself, here))
        if update is not None:
            yield update


def _itself(refs: pa.RecordBatch) -> pa.RecordBatch:
    return refs
