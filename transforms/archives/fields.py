"""Fields: what is said of a picture beside it in its archive, a value a name, as columns with types.

The columns of a data set are those of its first samples. A value that comes later is brought into their types, or it
cannot be read.
"""

import json
import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeAlias

import pyarrow as pa

from schemas.errors import shown
from schemas.tables import is_of_every_store
from transforms.manifests import text_of

Scalar: TypeAlias = str | int | float | bool
Fields: TypeAlias = Mapping[str, Scalar | None]

LABEL: Final = "label"
SPLIT: Final = "split"

# So many samples are looked at, and not much more than so many bytes.
FIRST_SAMPLES: Final = 1000
FIRST_BYTES: Final = 64 * 2**20

_ANNOTATIONS: Final = frozenset({LABEL, SPLIT})
_INT64: Final = range(-(2**63), 2**63)


class UnreadableField(ValueError):
    """What stands beside a picture cannot be read; the message says why."""


def scalar_fields(found: Mapping[str, object]) -> Iterator[tuple[str, Scalar | None]]:
    """Yields the values that a column can hold, by their columns; lists and objects are left out.

    So are values by whose names every store has columns of its own.
    """
    for name, value in found.items():
        column = name.strip()
        if column.lower() in _ANNOTATIONS:
            column = column.lower()
        elif not column or is_of_every_store(column):
            continue
        if isinstance(value, float) and math.isnan(value):  # As pandas writes what is missing.
            yield column, None
        elif value is None or isinstance(value, Scalar):
            yield column, value


def column_fields(samples: Sequence[Fields]) -> Iterator[pa.Field]:
    """Yields the columns of which samples say something, with the types that hold their values."""
    for name in dict.fromkeys(name for said in samples for name in said):
        values = [said[name] for said in samples if said.get(name) is not None]
        yield pa.field(name, pa.string() if name in _ANNOTATIONS else _type_of(values))


def _type_of(values: Iterable[Scalar | None]) -> pa.DataType:
    kinds = {type(value) for value in values}
    if kinds == {bool}:
        return pa.bool_()
    if kinds == {int}:
        return pa.int64() if all(value in _INT64 for value in values) else pa.string()
    return pa.float64() if kinds and kinds <= {int, float} else pa.string()


def in_types(said: Fields, columns: Iterable[pa.Field]) -> Fields:
    """Returns what is said of a picture as columns hold it; what is none of them is left out.

    Raises:
        UnreadableField: If a value is of another type than those of the first samples.
    """
    return {field.name: _in_type(said[field.name], field) for field in columns if field.name in said}


def _in_type(value: Scalar | None, field: pa.Field) -> Scalar | None:
    if value is None:
        return None
    if pa.types.is_string(field.type):
        return value if isinstance(value, str) else text_of(value)
    if pa.types.is_boolean(field.type) and isinstance(value, bool):
        return value
    number = None if isinstance(value, str | bool) else value
    if number is not None and pa.types.is_floating(field.type) and abs(number) <= sys.float_info.max:
        return float(number)
    whole = number is not None and (isinstance(number, int) or number.is_integer())
    if number is not None and whole and pa.types.is_integer(field.type) and int(number) in _INT64:
        return int(number)
    raise UnreadableField(
        f"Its field {shown(field.name, 40)} is {shown(json.dumps(value), 40)}; in the first samples it is {field.type}."
    )
