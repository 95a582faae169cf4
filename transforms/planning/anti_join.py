"""The anti-join of planning: listed images without those that the store knows or a killed run has finished.

Within one hash partition of the URIs; everything is Arrow and vectorised.
"""

from collections.abc import Iterable
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.images import SUPERSEDES
from schemas.store import InputCounts

# Columns of known images, and of finished ones.
HAS_FEATURES: Final = "has_features"
FRAGMENT: Final = "fragment"


def new_images(
    refs: Iterable[pa.RecordBatch], known: Iterable[pa.RecordBatch], *, refresh: bool = False
) -> tuple[pa.RecordBatch | None, InputCounts]:
    """Takes out the images that are known, and duplicate URIs.

    Args:
        refs: All refs of one hash partition.
        known: The known images of the same partition.
        refresh: Whether images that have features are processed again.

    Returns:
        The refs that have to be processed, in one batch ordered by URI, those that have older features marked as
        superseding, or None if there are none; and what was counted.
    """
    batches = list(refs)
    if not batches:
        return None, InputCounts()
    table = pa.Table.from_batches(batches)
    first = first_occurrences(table["uri"])
    unique = table.take(first) if len(first) < table.num_rows else table
    counts = InputCounts(listed=unique.num_rows, duplicates=table.num_rows - unique.num_rows)
    known_batches = list(known)
    if known_batches:
        known_table = pa.Table.from_batches(known_batches)
        finished = known_table.filter(pc.invert(known_table[HAS_FEATURES])) if refresh else known_table
        unique = unique.filter(pc.invert(_are_known(unique, finished)))
        supersedes = _have_features(unique, known_table)
    else:
        supersedes = pa.nulls(unique.num_rows, pa.bool_())
    new = unique.set_column(unique.schema.get_field_index(SUPERSEDES), table.schema.field(SUPERSEDES), supersedes)
    counts += InputCounts(skipped=counts.listed - new.num_rows)
    return (one_batch(new.sort_by("uri")) if new.num_rows else None), counts


def first_occurrences(uris: pa.ChunkedArray) -> pa.Array:
    """Returns the rows where each URI occurs first, in their order."""
    # Codes count up in the order of first appearance: where a URI occurs first, its code is above all before it.
    codes = uris.combine_chunks().dictionary_encode().indices.to_numpy()
    before = np.maximum.accumulate(np.concatenate([[-1], codes[:-1]])) if len(codes) else codes
    return pa.array(np.flatnonzero(codes > before))


def _have_features(refs: pa.Table, known: pa.Table) -> pa.Array:
    """Returns of each row of `refs` whether `known` has its URI with features; cheap where the refs are few."""
    listed = pc.is_in(known["uri"], value_set=refs["uri"].combine_chunks())
    extracted = known["uri"].filter(pc.and_(listed, known[HAS_FEATURES])).combine_chunks()
    return pc.is_in(refs["uri"], value_set=extracted)


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
