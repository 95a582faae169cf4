"""The anti-join of planning: listed images without those that the store knows or a killed run has finished.

Within one hash partition of the URIs; everything is Arrow and vectorised.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.annotations import hashed, is_given
from schemas.images import KNOWN_IN, SUPERSEDES
from schemas.store import InputCounts
from transforms.planning.label_counting import count_labels
from transforms.shuffle import in_reading_order

# Columns of known images, and of finished ones.
HAS_FEATURES: Final = "has_features"
FILE: Final = "file"
FRAGMENT: Final = "fragment"


def hash_name(column: str) -> str:
    """Returns the column of known images that holds the hashes of a column of annotations."""
    return f"hash of {column}"


def new_images(
    refs: Iterable[pa.RecordBatch],
    known: Iterable[pa.RecordBatch],
    annotations: Sequence[str] = (),
    *,
    refresh: bool = False,
) -> tuple[pa.RecordBatch | None, pa.RecordBatch | None, InputCounts]:
    """Takes out the images that are known, and duplicate URIs.

    Args:
        refs: All refs of one hash partition.
        known: The known images of the same partition.
        annotations: The columns of annotations in which the input is compared with the table.
        refresh: Whether images that have features are processed again.

    Returns:
        The refs that have to be processed, in one batch in the order of reading, those that have older features marked
        as superseding, or None if there are none; likewise the refs of known images of which the input says something
        else than the table; and what was counted. Images with features name the file that holds them.
    """
    batches = [batch for batch in refs if batch.num_rows]
    if not batches:
        return None, None, InputCounts()
    listed = one_batch(pa.Table.from_batches(batches))
    first = _chosen_occurrences(listed)
    duplicates = listed.num_rows - len(first)
    counts = InputCounts(listed=len(first), duplicates=duplicates, labels=count_labels(listed, first))
    there = _Known(listed, list(known))
    skipped = (there.known_otherwise if refresh else there.known_otherwise | there.same_version)[first]
    changed = first[skipped & there.differ(annotations)[first]]
    new = first[~skipped]
    counts += InputCounts(skipped=len(first) - len(new), outdated=len(changed))
    return there.marked(new), there.marked(changed), counts


class _Known:
    """What of listed refs is known.

    Attributes:
        same_version: bool [n], whether the image has features of this version.
        known_otherwise: bool [n], whether it failed in this version, or was taken down.
    """

    def __init__(self, listed: pa.RecordBatch, known: Sequence[pa.RecordBatch]) -> None:
        self._listed = listed
        self._stored: pa.Table | None = None
        self._places = pa.nulls(listed.num_rows, pa.int32())
        self.same_version = self.known_otherwise = np.zeros(listed.num_rows, bool)
        if known:
            table = pa.Table.from_batches(known).unify_dictionaries()
            self._stored = table.filter(table[HAS_FEATURES]).combine_chunks()
            uris = self._stored["uri"].combine_chunks()
            self._places = pc.index_in(listed.column("uri"), value_set=uris)
            same = pc.equal(listed.column("version"), self._found("version"))
            self.same_version = _as_mask(pc.fill_null(same, False))
            others = table.filter(pc.invert(table[HAS_FEATURES]))
            if others.num_rows:
                self.known_otherwise = _as_mask(_are_known(pa.Table.from_batches([listed]), others))

    def _found(self, column: str) -> pa.Array:
        """Returns a column of the rows with features, a value for each listed ref; null where there are none."""
        assert self._stored is not None  # noqa: S101 (only called where there is)
        return self._stored[column].combine_chunks().take(self._places)

    def differ(self, annotations: Sequence[str]) -> np.ndarray:
        """Says of which images with features the input says something else than the table: bool [n].

        Where it says several things of an image, it does so only if the table holds none of them: which of them was
        taken once must not change with the order in which they are read.
        """
        changed = np.zeros(self._listed.num_rows, bool)
        if self._stored is None or not annotations:
            return changed
        for name in annotations:
            own = hashed(self._listed.column(name))
            table = pc.fill_null(self._found(hash_name(name)), 0).to_numpy(zero_copy_only=False)
            changed |= (own != table) & _as_mask(is_given(self._listed, name))
        there = _as_mask(pc.is_valid(self._places))
        changed &= there
        if changed.any():
            agreeing = self._listed.column("uri").filter(pa.array(there & ~changed))
            changed &= ~_as_mask(pc.is_in(self._listed.column("uri"), value_set=agreeing))
        return changed

    def marked(self, rows: np.ndarray) -> pa.RecordBatch | None:
        """Returns listed refs in the order of reading, with the files that hold features of their images, if any do."""
        if not len(rows):
            return None
        files = pa.nulls(len(rows), pa.string()) if self._stored is None else self._found(FILE).take(rows)
        refs = self._listed.take(pa.array(rows))
        for name, values in ((KNOWN_IN, files.cast(pa.string())), (SUPERSEDES, pc.is_valid(files))):
            index = refs.schema.get_field_index(name)
            refs = refs.set_column(index, refs.schema.field(index), values)
        return in_reading_order(refs)


def _as_mask(values: pa.Array | pa.ChunkedArray) -> np.ndarray:
    mask: np.ndarray = (
        values.to_numpy() if isinstance(values, pa.ChunkedArray) else values.to_numpy(zero_copy_only=False)
    )
    return mask


def _chosen_occurrences(refs: pa.RecordBatch) -> np.ndarray:
    """Returns the row of each URI that counts: the first, or the first with a label if any has one."""
    uris = refs.column("uri")
    first = first_occurrences(pa.chunked_array([uris]))
    if len(first) == refs.num_rows:
        every: np.ndarray = first.to_numpy()
        return every
    order = np.argsort(pc.is_null(refs.column("label")).to_numpy(zero_copy_only=False), kind="stable")
    chosen: np.ndarray = order[first_occurrences(pa.chunked_array([uris.take(pa.array(order))])).to_numpy()]
    return chosen


def first_occurrences(uris: pa.ChunkedArray) -> pa.Array:
    """Returns the rows where each URI occurs first, in their order."""
    # Codes count up in the order of first appearance: where a URI occurs first, its code is above all before it.
    codes = uris.combine_chunks().dictionary_encode().indices.to_numpy()
    before = np.maximum.accumulate(np.concatenate([[-1], codes[:-1]])) if len(codes) else codes
    return pa.array(np.flatnonzero(codes > before))


def _are_known(refs: pa.Table, known: pa.Table) -> pa.Array:
    return pc.or_(_are_known_in_every_version(refs, known), have_keys_of(refs, known))


def _are_known_in_every_version(refs: pa.Table, known: pa.Table) -> pa.Array:
    in_every_version = known.filter(pc.is_null(known["version"]))["uri"].combine_chunks()
    return pc.is_in(refs["uri"], value_set=in_every_version)


def have_keys_of(refs: pa.Table, known: pa.Table) -> pa.Array:
    """Returns of each row of `refs` whether `known` has its (uri, version)."""
    key = ["uri", "version"]
    rows = refs.select(key).append_column("row", pa.array(np.arange(refs.num_rows)))
    found = rows.join(known.select(key), key, join_type="left semi")["row"].to_numpy()
    mask = np.zeros(refs.num_rows, bool)
    mask[found] = True
    return pa.array(mask)


def without_finished(
    refs: pa.RecordBatch, finished: Iterable[pa.RecordBatch]
) -> tuple[pa.RecordBatch | None, list[tuple[str, pa.RecordBatch]]]:
    """Takes the images out of the work whose features are computed already.

    Args:
        refs: The refs of one hash partition that have to be processed, each URI once.
        finished: Images of the same partition that are finished, as `adoption.finished_images` yields them.

    Returns:
        The refs that are left, or None if there are none; and by description of a fragment the refs whose features are
        to be taken from it, each ref in one of them.
    """
    batches = list(finished)
    if not batches:
        return refs, []
    table = pa.Table.from_batches([refs])
    rows = pa.Table.from_batches(batches).unify_dictionaries()
    rows = rows.filter(have_keys_of(rows, table))
    rows = rows.take(first_occurrences(rows["uri"]))
    fragments = rows[FRAGMENT].cast(pa.string())
    taken = []
    for described in fragments.unique().to_pylist():
        uris = rows["uri"].filter(pc.equal(fragments, described))
        taken.append((described, one_batch(table.filter(_have_uris(table, uris)))))
    left = table.filter(pc.invert(_have_uris(table, rows["uri"])))
    return (one_batch(left) if left.num_rows else None), taken


def _have_uris(refs: pa.Table, uris: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.is_in(refs["uri"], value_set=uris.combine_chunks())


def one_batch(table: pa.Table) -> pa.RecordBatch:
    """Returns a table's rows as a single batch."""
    return table.combine_chunks().to_batches()[0]
