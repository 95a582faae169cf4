"""Taking the old rows of changed images out of a table, in the same commit that brings the new ones.

Files are never changed: those that hold an old row are written again without it, and the log swaps one for the other.
"""

import time
import uuid
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.transaction import AddAction, RemoveAction

from schemas.commits import add_action, partition_values
from schemas.fragments import Fragment, TableName
from schemas.rewriting import write_again
from schemas.storage import file_system, join


def superseding_actions(
    table_uri: str, table: DeltaTable, superseding_paths: Sequence[str]
) -> Iterator[AddAction | RemoveAction]:
    """Yields the Delta actions that take out the rows of every image in the given fragments.

    Args:
        table_uri: The table's folder.
        table: The snapshot that the commit builds on; a commit that changes the same files in between is a conflict.
        superseding_paths: Paths under the table's folder of the fragments that hold the new rows.
    """
    if not superseding_paths:
        return
    changed = pa.chunked_array([read_uris(join(table_uri, path)) for path in superseding_paths]).combine_chunks()
    for path in files_that_may_hold(table, changed):
        file_uri = join(table_uri, path)
        stale = pc.is_in(read_uris(file_uri), value_set=changed)
        if not pc.any(stale).as_py():
            continue
        yield RemoveAction(path, True, int(time.time() * 1000), partition_values=partition_values(path))
        if not pc.all(stale).as_py():
            yield add_action(table_uri, _write_without(table_uri, path, changed))


def read_uris(file_uri: str) -> pa.Array:
    """Returns the URIs of a file's rows, in their order."""
    fs, path = file_system(file_uri)
    with fs.open(path, "rb") as file:
        return pq.read_table(file, columns=["uri"]).column(0).combine_chunks()


def files_that_may_hold(table: DeltaTable, uris: pa.Array) -> list[str]:
    """Returns the files whose range of URIs holds at least one of `uris`; files without statistics always may."""
    files = pa.table(table.get_add_actions(flatten=True))
    if "min.uri" not in files.column_names:
        return [str(path) for path in files["path"].to_pylist()]
    ordered = pc.take(uris, pc.sort_indices(uris)).to_numpy(zero_copy_only=False).astype(object)
    ranges = zip(*(files[name].to_pylist() for name in ("path", "min.uri", "max.uri")), strict=True)
    return [
        path
        for path, least, greatest in ranges
        if least is None or greatest is None or _any_between(ordered, least, greatest)
    ]


def _any_between(ordered: "pa.Array", least: str, greatest: str) -> bool:
    return bool(ordered.searchsorted(greatest, "right") > ordered.searchsorted(least, "left"))


def _write_without(table_uri: str, path: str, uris: pa.Array) -> Fragment:
    new_path = join(path.rpartition("/")[0], f"superseded-{uuid.uuid4()}.parquet")
    return write_again(
        table_uri,
        TableName.FEATURES,
        path,
        new_path,
        lambda rows: pc.invert(pc.is_in(rows.column("uri"), value_set=uris)),
    )
