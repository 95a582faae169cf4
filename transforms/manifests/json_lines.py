"""JSON Lines: an object a line. A column has the type of its values, over the whole file."""

import codecs
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeAlias

import pyarrow as pa

from schemas.errors import InvalidInput, shown
from schemas.images import REFS_PER_BATCH
from transforms.manifests.columns import MOST_COLUMNS, Column, refuse_too_much
from transforms.manifests.streams import whole_lines

Value: TypeAlias = "bool | int | float | str | list[Value] | dict[str, Value] | None"

_DEEPEST_LIST: Final = 8
_LONG: Final = range(-(2**63), 2**63)
_OBJECT: Final = pa.struct([])
_SCALARS: Final = {bool: pa.bool_(), float: pa.float64(), str: pa.string(), type(None): pa.null(), dict: _OBJECT}


def json_fields(stream: pa.NativeFile, uri: str) -> list[pa.Field]:
    """Reads the whole file, and returns its columns in the order in which they first occur.

    Whole numbers are int64 and other numbers float64, also where they are mixed; numbers beyond 64 bits, and values of
    different kinds, are text.

    Raises:
        InvalidInput: If a line is no JSON object.
    """
    kinds: dict[str, pa.DataType] = {}
    for row in _objects(stream, uri):
        for name, value in row.items():
            kind = _kind(value)
            known = kinds.get(name)
            if kind != known:
                kinds[name] = kind if known is None else _common(known, kind)
        if len(kinds) > MOST_COLUMNS:
            refuse_too_much(uri, kinds)
    return [pa.field(name, kind) for name, kind in kinds.items()]


def json_rows(stream: pa.NativeFile, uri: str, columns: Sequence[Column]) -> Iterator[pa.RecordBatch]:
    """Yields the rows of a file in batches; a key that an object lacks is null.

    Raises:
        InvalidInput: If a line is no JSON object.
    """
    rows: list[dict[str, Value]] = []
    for row in _objects(stream, uri):
        rows.append(row)
        if len(rows) == REFS_PER_BATCH:
            yield _batch(rows, columns)
            rows = []
    if rows:
        yield _batch(rows, columns)


def _objects(stream: pa.NativeFile, uri: str) -> Iterator[dict[str, Value]]:
    number = 0
    for text in whole_lines(stream):
        for line in (text if number else text.removeprefix(codecs.BOM_UTF8)).split(b"\n"):
            number += 1
            if line.strip():
                yield _object(line, number, uri)
        number -= text.endswith(b"\n")  # What follows the last break is no line of its own.


def _object(line: bytes, number: int, uri: str) -> dict[str, Value]:
    try:
        row: Value = json.loads(line)
    except UnicodeDecodeError:
        raise
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"Line {number} of the manifest {shown(uri)} is no JSON: {error}.") from error
    if not isinstance(row, dict):
        raise InvalidInput(f'Line {number} of the manifest {shown(uri)} is no JSON object, as {{"uri": …}} is.')
    return row


def _kind(value: Value, depth: int = 0) -> pa.DataType:
    """Returns the type of a value; that of lists in too many lists is one that no table holds."""
    if type(value) is int:
        return pa.int64() if value in _LONG else pa.string()
    if isinstance(value, list):
        if depth > _DEEPEST_LIST:
            return _OBJECT
        element = pa.null()
        for item in value:
            element = _common(element, _kind(item, depth + 1))
        return pa.list_(element)
    return _SCALARS[type(value)]


def _common(first: pa.DataType, second: pa.DataType) -> pa.DataType:
    """Returns the type that holds the values of two."""
    if first == second or pa.types.is_null(second):
        return first
    if pa.types.is_null(first):
        return second
    if pa.types.is_list(first) or pa.types.is_list(second):  # A single value is a list of one.
        return pa.list_(_common(*(kind.value_type if pa.types.is_list(kind) else kind for kind in (first, second))))
    if _OBJECT in {first, second}:
        return _OBJECT
    return pa.float64() if {first, second} == {pa.int64(), pa.float64()} else pa.string()


def _batch(rows: Sequence[dict[str, Value]], columns: Sequence[Column]) -> pa.RecordBatch:
    arrays = [
        pa.array(map(_reader(column.type), [row.get(column.source) for row in rows]), column.type) for column in columns
    ]
    return pa.RecordBatch.from_arrays(arrays, [column.name for column in columns])


def _reader(kind: pa.DataType) -> Callable[[Value], Value]:
    """Returns what makes a value one of a type."""
    if pa.types.is_string(kind):
        return _text
    if pa.types.is_floating(kind):
        return lambda value: None if value is None else float(value)  # type: ignore[arg-type]
    if pa.types.is_list(kind):
        read = _reader(kind.value_type)
        return lambda value: None if value is None else list(map(read, value if isinstance(value, list) else [value]))
    return lambda value: value


def _text(value: Value) -> str | None:
    return value if value is None or isinstance(value, str) else text_of(value)


def text_of(value: object) -> str:
    """Returns a value of another kind as text: `7` also for 7.0, as whole numbers are where one is missing."""
    is_whole = isinstance(value, float) and value.is_integer()
    return str(int(value)) if is_whole else json.dumps(value)  # type: ignore[call-overload]
