"""Adoption: what a run that was killed had finished is taken over by the next one. Pure of Beam.

A fragment with a receipt is complete. Where its run has not committed it, those of its rows that a later run is about
to compute are taken from it. Its run may even be alive: the second one to commit leaves out what is there.
"""

import dataclasses
import hashlib
import logging
import posixpath
from collections.abc import Iterable, Iterator
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from schemas.annotations import annotated, given_for_all
from schemas.commits import changed_images
from schemas.delta import open_table, paths_of
from schemas.errors import DamagedFile
from schemas.fragments import Fragment, TableName, has_told_rows, keep_rows, read_receipts
from schemas.images import SUPERSEDES
from schemas.storage import file_system, join, read_keys
from schemas.tables import file_schema
from transforms.planning.anti_join import FRAGMENT, one_batch
from transforms.planning.snapshot import Snapshot
from transforms.runtime import PROGRESS

_LOGGER: Final = logging.getLogger(__name__)


def finished_images(snapshot: Snapshot, refresh: str | None = None) -> Iterator[pa.RecordBatch]:
    """Yields the images of fragments that are complete and not in the table.

    Args:
        snapshot: The state of the store on which the run plans.
        refresh: The name of a refresh, of whose attempts alone the fragments are taken; of all runs unless given.

    Yields:
        Batches with the columns `uri`, `version` and `fragment` (the description of the fragment as JSON).
    """
    committed = paths_of(snapshot.table(TableName.FEATURES))
    for fragment in read_receipts(snapshot.store.uri):
        wanted = posixpath.basename(fragment.path).startswith(f"{refresh}-") if refresh else True
        if wanted and fragment.table == TableName.FEATURES and fragment.path not in committed:
            yield from _images_of(snapshot.store.uri, fragment)


def _images_of(store_uri: str, fragment: Fragment) -> Iterator[pa.RecordBatch]:
    table_uri = join(store_uri, fragment.table)
    file_uri = join(table_uri, fragment.path)
    try:
        if not (_is_whole(file_uri, fragment) and has_told_rows(table_uri, fragment)):
            _LOGGER.warning("The fragment %s is damaged and not adopted: its images are computed again.", file_uri)
            return
        for batch in read_keys(file_uri):
            if batch.schema.types != [pa.string(), pa.string()]:
                raise DamagedFile(file_uri, "its rows have no keys")
            described = pa.array([fragment.to_json()]).dictionary_encode().take(pa.array([0] * batch.num_rows))
            yield pa.RecordBatch.from_arrays([*batch.columns, described], [*batch.schema.names, FRAGMENT])
    except FileNotFoundError:
        _LOGGER.info("The fragment %s is gone, its receipt is not.", file_uri)
    except DamagedFile as error:
        _LOGGER.warning("The fragment %s is not adopted: %s", file_uri, error.how)


def _is_whole(file_uri: str, fragment: Fragment) -> bool:
    """Whether a file has the bytes that its receipt tells of; receipts of older versions do not tell."""
    fs, path = file_system(file_uri)
    if fs.info(path)["size"] != fragment.size:
        return False
    with fs.open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == fragment.sha256


def adopt(
    store_uri: str, run_id: str, described: str, wanted: Iterable[pa.RecordBatch], *, update_labels: bool = True
) -> Fragment:
    """Makes a fragment of a run that was killed one of this run.

    Args:
        store_uri: The store.
        run_id: The run that adopts.
        described: The description of the fragment as JSON.
        wanted: The refs whose rows are taken from it.
        update_labels: Whether images that others commit meanwhile get the annotations of this run.

    Returns:
        The fragment as it is if all of its rows are wanted and say what the input says now of their images, else
        another one. The partition stays that of the fragment: its rows were computed on that date.

    Raises:
        OSError: If the store cannot be read or written.
    """
    fragment = Fragment.from_json(described)
    table_uri = join(store_uri, fragment.table)
    refs = one_batch(pa.Table.from_batches(wanted))
    uris, supersedes = refs.column("uri"), bool(pc.any(refs.column(SUPERSEDES)).as_py())
    schema = file_schema(pa.schema(open_table(table_uri).schema()))
    given = given_for_all(refs) if update_labels else None
    changes = changed_images(join(table_uri, fragment.path), schema, refs) > 0
    if changes or refs.num_rows < fragment.images:
        fragment = keep_rows(
            table_uri,
            fragment,
            run_id,
            lambda rows: pc.is_in(rows.column("uri"), value_set=uris),
            schema=schema if changes else None,
            change=(lambda rows: annotated(rows, refs)) if changes else None,
        )
    PROGRESS.add(extracted=fragment.images)
    return dataclasses.replace(fragment, supersedes=supersedes, adopted=True, given=given)
