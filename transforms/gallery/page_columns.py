"""The columns of the page's images, by which the map is coloured: those of the table, and what was found."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.exploration import Exploration, names_of
from transforms.gallery.thumbnails import Thumbnails

_NUMBER: Final = "number"
_CATEGORY: Final = "category"
_FIRST: Final = ("label", "labels", "split")
_NOT_SHOWN: Final = frozenset({"uri", "version", "sha256", "extracted_at", "augmentation"})
_MOST_CATEGORIES: Final = 1000


@dataclasses.dataclass(frozen=True, eq=False)
class PageColumn:
    """A column.

    Attributes:
        name: Its name.
        kind: `number` or `category`.
        names: The categories.
        values: float32 [n], or int32 [n], the places of names; -1 where there is none.
    """

    name: str
    kind: str
    names: Sequence[str]
    values: np.ndarray


def page_columns(found: Exploration, rows: np.ndarray, thumbnails: Thumbnails) -> list[PageColumn]:
    """Returns the columns of some images, label and split first.

    Args:
        found: What was found.
        rows: int64 [n], the images.
        thumbnails: Pictures of all images.
    """
    table = found.images.table.take(pa.array(rows))
    own = [(name, table[name]) for name in table.column_names if name not in _NOT_SHOWN]
    if found.judgement.labels is not None:
        texts = names_of(found.judgement.labels, found.judgement.targets[rows])
        own = [
            ("label", pa.chunked_array([texts])),
            *((name, values) for name, values in own if name not in _FIRST[:2]),
        ]
    own.sort(key=lambda named: _FIRST.index(named[0]) if named[0] in _FIRST else len(_FIRST))
    columns = [column for name, values in own if (column := _column(name, values)) is not None]
    return columns + list(_found_columns(found, rows, thumbnails))


def _found_columns(found: Exploration, rows: np.ndarray, thumbnails: Thumbnails) -> Iterator[PageColumn]:
    judgement = found.judgement
    if judgement.predicted is not None and judgement.labels is not None:
        said, given = judgement.predicted, names_of(judgement.labels, judgement.targets)
        right = pc.if_else(pc.equal(said, given), "right", "wrong")
        for name, values in (("predicted", said), ("prediction", right)):
            column = _column(name, pa.chunked_array([values.take(pa.array(rows))]))
            if column is not None:
                yield column
    copies = np.zeros(len(found.images), np.int32)
    for group in found.groups:
        copies[group.rows] = 2 if group.leaks else 1
    yield PageColumn("near-duplicate", _CATEGORY, ("no", "in its split", "across splits"), copies[rows])
    yield PageColumn("distance from nearest", _NUMBER, (), found.neighbours.distances[rows, 0])
    if thumbnails.sheets:
        yield PageColumn("brightness", _NUMBER, (), thumbnails.brightness[rows])
        yield PageColumn("edges", _NUMBER, (), thumbnails.sharpness[rows])


def _column(name: str, values: pa.ChunkedArray) -> PageColumn | None:
    """Returns a column of a table, or None if it holds nothing that could be a colour."""
    kind = values.type
    if values.null_count == len(values):
        return None
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return PageColumn(name, _NUMBER, (), values.cast(pa.float32(), safe=False).to_numpy().astype(np.float32))
    if pa.types.is_list(kind) and pa.types.is_string(kind.value_type):
        values = pc.binary_join(values, ", ")
    elif not (pa.types.is_string(kind) or pa.types.is_boolean(kind) or pa.types.is_date(kind)):
        return None
    codes = values.cast(pa.string()).combine_chunks().dictionary_encode()
    if len(codes.dictionary) > _MOST_CATEGORIES and name not in _FIRST:
        return None
    places = pc.fill_null(codes.indices, -1).to_numpy(zero_copy_only=False).astype(np.int32)
    return PageColumn(name, _CATEGORY, codes.dictionary.to_pylist(), places)
