"""Taking the rows of images out of a table, or putting others into their place.

Files are never changed: those that hold such a row are written again without it, and the log swaps one for the other.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from schemas.delta import TableAction, files_of
from schemas.fragments import (
    SUPERSEDED,
    Fragment,
    Keep,
    TableName,
    add_action,
    remove_action,
    without,
    write_again,
)
from schemas.storage import join, read_column


@dataclasses.dataclass(frozen=True)
class Holding:
    """A file of a table with rows that are to go.

    Attributes:
        path: Its path under the table's folder.
        rows: How many they are.
        whole: Whether they are all of its rows.
        keep: Says which of its rows stay.
    """

    path: str
    rows: int
    whole: bool
    keep: Keep


@dataclasses.dataclass(frozen=True)
class HoldingImages(Holding):
    """A file of a table with rows of images that are to go.

    Attributes:
        gone: The URIs of these rows.
    """

    gone: pa.Array


def files_holding(table_uri: str, table: DeltaTable, uris: pa.Array) -> Iterator[HoldingImages]:
    """Yields the files of a snapshot with rows of images; reads the URIs of those that may have some.

    Args:
        table_uri: The table's folder.
        table: The snapshot.
        uris: The images.
    """
    for path in _files_that_may_hold(table, uris):
        stored = read_column(join(table_uri, path), "uri")
        gone = stored.filter(pc.is_in(stored, value_set=uris))
        if len(gone):
            yield HoldingImages(path, len(gone), len(gone) == len(stored), without(gone), gone)


def removal_actions(
    table_uri: str,
    name: TableName,
    files: Iterable[Holding],
    origin: str,
    replacements: Mapping[str, Fragment] = MappingProxyType({}),
) -> Iterator[TableAction]:
    """Yields the Delta actions that take the rows out of files, which are written again where rows are left.

    Args:
        table_uri: The table's folder.
        name: The table.
        files: The files, as `files_holding` and `ReplacedRows` find them.
        origin: How the names of the new files begin.
        replacements: By path of a file what holds its rows from now on.
    """
    for file in files:
        yield remove_action(file.path)
        if not file.whole:
            source = replacements[file.path].path if file.path in replacements else file.path
            rest = write_again(table_uri, name, [source], origin, keep=file.keep)
            yield add_action(table_uri, rest)


def superseding_actions(
    table_uri: str, table: DeltaTable, superseding_paths: Sequence[str], replacements: Mapping[str, Fragment]
) -> Iterator[TableAction]:
    """Yields the Delta actions that take out of `features` what is there no more in this form.

    Args:
        table_uri: The table's folder.
        table: The snapshot that the commit builds on; a commit that changes the same files in between is a conflict.
        superseding_paths: Paths under the table's folder of the fragments that hold new rows of their images.
        replacements: By path of a file what holds its rows from now on, with other annotations.
    """
    held: list[HoldingImages] = []
    if superseding_paths:
        uris = pa.chunked_array([read_column(join(table_uri, path), "uri") for path in superseding_paths])
        held += files_holding(table_uri, table, uris.combine_chunks())
        yield from removal_actions(table_uri, TableName.FEATURES, held, SUPERSEDED, replacements)
    done = {file.path for file in held}
    for path, fragment in replacements.items():
        if path not in done:
            yield remove_action(path)
            yield add_action(table_uri, fragment)


def _files_that_may_hold(table: DeltaTable, uris: pa.Array) -> list[str]:
    """Returns the files whose range of URIs holds at least one of `uris`; files without statistics always may."""
    files = files_of(table)
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
