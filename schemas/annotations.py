"""Annotations: what the input says of an image besides where it is: its label, its split, its carried columns.

A row of `features` has two parts: what the bytes of the image decide, which is computed once, and its annotations,
which follow the input. An input that has a column says something with each of its cells, an empty one too. Of a column
that it lacks it says nothing, and what the table holds stays.
"""

import json
from collections.abc import Iterable
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from schemas.images import GIVEN, REF_SCHEMA

# The carried column of the labels of images that have several each: lists, where `label` holds one.
LABELS: Final = "labels"

_NO_ANNOTATIONS: Final = frozenset(REF_SCHEMA.names) - {"label", "split"}
# Odd numbers (Knuth's multiplicative hash, and the finalizer of MurmurHash3).
_NULL: Final = np.uint64(0x9E3779B97F4A7C15)
_LENGTH: Final = np.uint64(0xFF51AFD7ED558CCD)


def has_label_lists(schema: pa.Schema) -> bool:
    """Whether refs, or rows of a table, have a column of lists of labels."""
    index = schema.get_field_index(LABELS)
    return index >= 0 and bool(pa.types.is_list(schema.field(index).type))


def annotation_names(names: Iterable[str]) -> list[str]:
    """Returns those columns of refs, or of a manifest, that are annotations."""
    return [name for name in names if name not in _NO_ANNOTATIONS]


def given_text(names: Iterable[str]) -> str | None:
    """Returns what the column `GIVEN` holds for images whose input has these columns; null if there are none."""
    found = sorted(annotation_names(names))
    return json.dumps(found) if found else None


def given_for_all(refs: pa.RecordBatch) -> tuple[str, ...]:
    """Returns the columns that the input has for all of some images."""
    texts = pc.unique(refs.column(GIVEN)).to_pylist()
    sets = [frozenset(json.loads(text)) if text else frozenset() for text in texts]
    return tuple(sorted(frozenset.intersection(*sets))) if sets else ()


def is_given(refs: pa.RecordBatch, name: str) -> pa.Array:
    """Says of which images the input says something in a column: bool [n]."""
    texts = pc.unique(refs.column(GIVEN)).drop_null().to_pylist()
    with_name = pa.array([text for text in texts if name in json.loads(text)], pa.string())
    return pc.or_(pc.is_valid(refs.column(name)), pc.is_in(refs.column(GIVEN), value_set=with_name))


def annotated(rows: pa.RecordBatch, refs: pa.RecordBatch) -> pa.RecordBatch:
    """Returns rows with what the input says of their images; what it does not say stays.

    Args:
        rows: Rows with a column `uri` and some columns of annotations.
        refs: Refs, each URI once; those of other images do not matter.
    """
    places = pc.index_in(rows.column("uri"), value_set=refs.column("uri"))
    for name in annotation_names(refs.schema.names):
        index = rows.schema.get_field_index(name)
        if index >= 0:
            field = rows.schema.field(index)
            given = pc.fill_null(is_given(refs, name).take(places), False)
            said = refs.column(name).take(places).cast(field.type)
            rows = rows.set_column(index, field, pc.if_else(given, said, rows.column(index)))
    return rows


def completed(refs: pa.RecordBatch, rows: pa.RecordBatch) -> pa.RecordBatch:
    """Returns refs with what a table holds of their images wherever the input does not say otherwise.

    Args:
        refs: Refs.
        rows: Rows of the table, each image once, with a column `uri` and the columns of annotations.

    Returns:
        The refs with all columns of annotations that the rows have.
    """
    places = pc.index_in(refs.column("uri"), value_set=rows.column("uri"))
    for field in rows.schema:
        if field.name in _NO_ANNOTATIONS:
            continue
        known = rows.column(field.name).take(places)
        index = refs.schema.get_field_index(field.name)
        if index < 0:
            refs = refs.append_column(field, known)
        else:
            own = refs.column(index)
            refs = refs.set_column(
                index, refs.schema.field(index), pc.if_else(is_given(refs, field.name), own, known.cast(own.type))
            )
    return refs


def differ(before: pa.RecordBatch, after: pa.RecordBatch) -> np.ndarray:
    """Says which rows differ in a column that both have, `uri` aside: bool [n]."""
    changed = np.zeros(before.num_rows, bool)
    for name in before.schema.names:
        if name != "uri" and name in after.schema.names:
            changed |= hashed(before.column(name)) != hashed(after.column(name))
    return changed


def hashed(values: pa.Array) -> np.ndarray:
    """Returns hashes of values, uint64 [n]: the same for equal values in every process. Null has a hash of its own."""
    hashes = np.full(len(values), _NULL, np.uint64)
    hashes[pc.is_valid(values).to_numpy(zero_copy_only=False)] = _hashed(values.drop_null())
    return hashes


def _hashed(values: pa.Array) -> np.ndarray:
    """Hashes values among which there is no null."""
    if pa.types.is_list(values.type) or pa.types.is_large_list(values.type):
        return _hashed_lists(values)
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        values = values.dictionary_encode()
    if pa.types.is_dictionary(values.type):
        by_code: np.ndarray = _each_hashed(values.dictionary)[values.indices.to_numpy(zero_copy_only=False)]
        return by_code
    return _each_hashed(values)


def _each_hashed(values: pa.Array) -> np.ndarray:
    """Hashes values that are no lists and no nulls, one by one."""
    hashes: np.ndarray = pd.util.hash_array(values.to_numpy(zero_copy_only=False), categorize=False)
    return hashes


def _hashed_lists(lists: pa.Array) -> np.ndarray:
    """Sums the hashes of each list's elements, weighed by where they stand in it."""
    lengths = pc.list_value_length(lists).to_numpy(zero_copy_only=False).astype(np.int64)
    ends = np.concatenate([[0], np.cumsum(lengths)])
    places = np.arange(ends[-1]) - np.repeat(ends[:-1], lengths)
    weighed = hashed(pc.list_flatten(lists)) * (2 * places + 1).astype(np.uint64)
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(weighed, dtype=np.uint64)])
    found: np.ndarray = sums[ends[1:]] - sums[ends[:-1]] + lengths.astype(np.uint64) * _LENGTH
    return found
