"""What others committed since a run planned: their rows are taken out of its fragments, or superseded by them."""

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from schemas.delta import files_of, open_table, paths_of
from schemas.fragments import Fragment, keep_rows, keys_of, without_keys
from schemas.storage import join, read_columns, read_keys

# Keys of fragments that are held while the files of others are read past them: about 150 bytes each.
_KEYS_HELD: Final = 1_000_000


@dataclasses.dataclass(frozen=True)
class CommittedFile:
    """A file of a table.

    Attributes:
        uri: Where it is.
        least: A lower bound of the image URIs in it, where the log has one.
        greatest: An upper bound, likewise.
    """

    uri: str
    least: str | None
    greatest: str | None

    def may_share_images_with(self, fragment: Fragment) -> bool:
        """Whether the ranges of the URIs overlap."""
        if self.least is None or self.greatest is None:
            return True
        least, greatest = fragment.uri_range
        return self.least <= greatest and least <= self.greatest


def files_since(table_uri: str, table: DeltaTable, version: int | None) -> list[CommittedFile]:
    """Returns the files of a snapshot that an earlier one lacks.

    Args:
        table_uri: The table's folder.
        table: The snapshot.
        version: The version of the earlier one, or None for all files.
    """
    earlier = set() if version is None else paths_of(open_table(table_uri, version))
    files = files_of(table)
    bounds = [
        files[name].to_pylist() if name in files.column_names else [None] * files.num_rows
        for name in ("min.uri", "max.uri")
    ]
    return [
        CommittedFile(join(table_uri, path), least, greatest)
        for path, least, greatest in zip(files["path"].to_pylist(), *bounds, strict=True)
        if path not in earlier
    ]


@dataclasses.dataclass(frozen=True)
class Dropped:
    """Rows of a fragment whose images others have committed.

    Attributes:
        fragment: The fragment, with these rows.
        keys: Their keys.
    """

    fragment: Fragment
    keys: pa.Array

    def read(self, table_uri: str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yields columns of the rows, `uri` and `version` among them."""
        for rows in read_columns(join(table_uri, self.fragment.path), columns):
            yield rows.filter(pc.is_in(keys_of(rows), value_set=self.keys))


class _Found:
    """What of a fragment is in the files of others.

    Attributes:
        keys: Keys of its rows that are there, maybe more than once.
        older: Whether one of its images is there with another version.
    """

    def __init__(self) -> None:
        self.keys: list[pa.Array] = []
        self.older = False

    def compare(self, own: pa.RecordBatch, committed: pa.RecordBatch) -> None:
        """Looks rows of the fragment up among committed ones; one without a version stands for all of its image's."""
        own_keys = keys_of(own)
        known = pc.is_in(own.column("uri"), value_set=committed.column("uri"))
        there = pc.is_in(own_keys, value_set=keys_of(committed)) if "version" in committed.schema.names else known
        self.keys.append(own_keys.filter(there))
        self.older |= bool(pc.any(pc.and_not(known, there)).as_py())


def without_committed(
    table_uri: str,
    fragments: Sequence[Fragment],
    files: Sequence[CommittedFile],
    run_id: str,
    dropped: list[Dropped],
) -> Iterator[Fragment]:
    """Takes rows out of fragments whose (uri, version) is in the files of others.

    Images that are there with another version are marked as superseding: the last commit wins, and where that was the
    older picture, the next run finds the newer one.

    Args:
        table_uri: The folder of the fragments' table.
        fragments: Fragments of one table.
        files: Where to look; files without statistics are always read.
        run_id: The run that commits.
        dropped: Where the rows are put that are taken out.

    Yields:
        The fragments that have rows left, written again where they lost some.
    """
    found = {fragment.path: _Found() for fragment in fragments}
    largest = max((fragment.rows for fragment in fragments), default=1)
    read_own = functools.lru_cache(max(1, _KEYS_HELD // largest))(_all_keys)
    for file in files:
        near = [fragment for fragment in fragments if file.may_share_images_with(fragment)]
        for committed in read_keys(file.uri) if near else ():
            for fragment in near:
                found[fragment.path].compare(read_own(join(table_uri, fragment.path)), committed)
    for fragment in fragments:
        keys = pa.chunked_array(found[fragment.path].keys, pa.string()).unique()
        marked = dataclasses.replace(fragment, supersedes=fragment.supersedes or found[fragment.path].older)
        if len(keys):
            dropped.append(Dropped(fragment, keys))
        if not len(keys):
            yield marked
        elif len(keys) < fragment.images:
            yield keep_rows(table_uri, marked, run_id, without_keys(keys))


def _all_keys(file_uri: str) -> pa.RecordBatch:
    """Returns the uri and version of each image in a file."""
    return pa.Table.from_batches(read_keys(file_uri)).combine_chunks().to_batches()[0]
