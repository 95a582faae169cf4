"""What others committed since a run planned: their rows are taken out of its fragments, or superseded by them."""

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable

from schemas.delta import open_table
from schemas.fragments import Fragment
from schemas.rewriting import write_again
from schemas.storage import file_system, join

# Keys of fragments that are held while the files of others are read past them: about 150 bytes each.
_KEYS_HELD: Final = 1_000_000
_ROWS_PER_BATCH: Final = 131_072


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
    earlier = set() if version is None else _paths(open_table(table_uri, version))
    files = pa.table(table.get_add_actions(flatten=True))
    bounds = [
        files[name].to_pylist() if name in files.column_names else [None] * files.num_rows
        for name in ("min.uri", "max.uri")
    ]
    return [
        CommittedFile(join(table_uri, path), least, greatest)
        for path, least, greatest in zip(files["path"].to_pylist(), *bounds, strict=True)
        if path not in earlier
    ]


def _paths(table: DeltaTable) -> set[str]:
    return set(pa.table(table.get_add_actions())["path"].to_pylist())


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
        """Looks rows of the fragment up among committed ones."""
        own_keys = _keys(own)
        there = pc.is_in(own_keys, value_set=_keys(committed))
        known = pc.is_in(own.column("uri"), value_set=committed.column("uri"))
        self.keys.append(own_keys.filter(there))
        self.older |= bool(pc.any(pc.and_not(known, there)).as_py())


def without_committed(
    table_uri: str, fragments: Sequence[Fragment], files: Sequence[CommittedFile]
) -> Iterator[Fragment]:
    """Takes rows out of fragments whose (uri, version) is in the files of others.

    Images that are there with another version are marked as superseding: the last commit wins, and where that was the
    older picture, the next run finds the newer one.

    Args:
        table_uri: The folder of the fragments' table.
        fragments: Fragments of one table.
        files: Where to look; files without statistics are always read.

    Yields:
        The fragments that have rows left, written again where they lost some.
    """
    found = {fragment.path: _Found() for fragment in fragments}
    largest = max((fragment.rows for fragment in fragments), default=1)
    read_own = functools.lru_cache(max(1, _KEYS_HELD // largest))(_read_keys)
    for file in files:
        near = [fragment for fragment in fragments if file.may_share_images_with(fragment)]
        for committed in _key_batches(file.uri) if near else ():
            for fragment in near:
                found[fragment.path].compare(read_own(join(table_uri, fragment.path)), committed)
    for fragment in fragments:
        yield from _without(table_uri, fragment, found[fragment.path])


def _without(table_uri: str, fragment: Fragment, found: _Found) -> Iterator[Fragment]:
    supersedes = fragment.supersedes or found.older
    taken = pa.chunked_array(found.keys, pa.string()).unique()
    if not len(taken):
        yield dataclasses.replace(fragment, supersedes=supersedes)
    elif len(taken) < fragment.rows:
        left = write_again(
            table_uri,
            fragment.table,
            fragment.path,
            fragment.path.removesuffix(".parquet") + f"-less-{len(taken)}.parquet",
            lambda rows: pc.invert(pc.is_in(_keys(rows), value_set=taken)),
        )
        yield dataclasses.replace(left, supersedes=supersedes, adopted=fragment.adopted, reused=fragment.reused)


def _keys(rows: pa.RecordBatch) -> pa.Array:
    """Returns (uri, version) as one string; no file's name has a NUL in it."""
    return pc.binary_join_element_wise(rows.column("uri"), rows.column("version"), "\0")


def _read_keys(file_uri: str) -> pa.RecordBatch:
    return pa.Table.from_batches(_key_batches(file_uri)).combine_chunks().to_batches()[0]


def _key_batches(file_uri: str) -> Iterator[pa.RecordBatch]:
    fs, path = file_system(file_uri)
    with fs.open(path, "rb") as file:
        yield from pq.ParquetFile(file).iter_batches(_ROWS_PER_BATCH, columns=["uri", "version"])
