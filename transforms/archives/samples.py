"""WebDataset: the members of a tar whose names are equal up to the first dot are one sample.

Beside the picture `000042.jpg`, `000042.cls` is its label, `000042.txt` a text about it, and the fields of the object
in `000042.json` are further columns, `label` and `split` among them. A field is named as webdataset names it; what
img2dataset writes is read, but for the fields that every store has itself (`width`, `height`, `sha256`, …).
"""

import json
import math
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeAlias

import pyarrow as pa

from schemas.errors import DamagedArchive, shown
from schemas.tables import is_of_every_store
from transforms.archives.archive import Member
from transforms.archives.reading import archive_members
from transforms.archives.tar_archives import MOST_WANTED_BYTES

Scalar: TypeAlias = str | int | float | bool

_LABEL: Final = "label"
_ANNOTATIONS: Final = frozenset({_LABEL, "split"})
_CLASS: Final = "cls"
_TEXT: Final = "txt"
_OBJECT: Final = "json"
_INT64: Final = range(-(2**63), 2**63)

# The columns of a data set are those of its first samples: so many of them, and not much more than so many bytes.
_FIRST_SAMPLES: Final = 1000
_FIRST_BYTES: Final = 64 * 2**20


class UnreadableField(ValueError):
    """What stands beside a picture cannot be read; the message says why."""


def sample_key(name: str) -> str:
    """Returns the key of a member's sample.

    >>> sample_key("train/000042.seg.png")
    'train/000042'
    """
    folder, slash, base = name.rpartition("/")
    return f"{folder}{slash}{base.partition('.')[0]}"


def stands_beside(name: str) -> bool:
    """Whether a member may say something of a picture."""
    base = name.rpartition("/")[2]
    return not base.startswith(".") and base.partition(".")[2].lower() in {_CLASS, _TEXT, _OBJECT}


def is_class(name: str) -> bool:
    """Whether a member is the label of its sample."""
    return name.rpartition(".")[2].lower() == _CLASS


def sample_fields(member: Member) -> dict[str, Scalar | None]:
    """Returns what a member says of its sample's pictures, by column; null where a field is empty.

    Raises:
        UnreadableField: If it cannot be read.
    """
    extension = member.name.rpartition("/")[2].partition(".")[2].lower()
    if member.content is None:
        raise UnreadableField(f"Its .{extension} has {member.size:,} bytes; at most {MOST_WANTED_BYTES:,} are read.")
    try:
        text = member.content.decode("utf-8-sig")
        if extension != _OBJECT:
            return {_LABEL if extension == _CLASS else _TEXT: text.strip() or None}
        found = json.loads(text)
        json.dumps(found, ensure_ascii=False).encode()  # Half of a character is none that a table could hold.
    except (ValueError, RecursionError) as error:
        raise UnreadableField(f"Its .{extension} cannot be read: {error}.") from error
    if not isinstance(found, dict):
        raise UnreadableField("Its .json is no object.")
    return dict(_scalars(found))


def _scalars(found: Mapping[str, object]) -> Iterator[tuple[str, Scalar | None]]:
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


def sample_columns(protocol: str, archive_uri: str, extensions: Collection[str]) -> tuple[pa.Field, ...]:
    """Returns the columns of which an archive says something, by its first samples.

    Args:
        protocol: What kind of archive it is.
        archive_uri: Where it is.
        extensions: Those of pictures.

    Returns:
        Fields, `label` and `split` among them; none if there is nothing beside its pictures.

    Raises:
        OSError: What its file system raises if it is not there, or the storage is at fault.
    """
    pictures: set[str] = set()
    beside: dict[str, dict[str, Scalar | None]] = {}
    size = 0
    try:
        for member in archive_members(protocol, archive_uri, stands_beside):
            key = sample_key(member.name)
            if member.name.rpartition(".")[2].lower() in extensions:
                pictures.add(key)
            elif stands_beside(member.name):
                try:
                    beside.setdefault(key, {}).update(sample_fields(member))
                except UnreadableField:
                    continue  # Its picture will say so.
            size += member.size or 0
            if len(pictures) > _FIRST_SAMPLES or size > _FIRST_BYTES:
                break
    except DamagedArchive:
        pass  # What comes before is enough, or its listing will say so.
    return tuple(_fields([said for key, said in beside.items() if key in pictures]))


def _fields(samples: Sequence[Mapping[str, Scalar | None]]) -> Iterator[pa.Field]:
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


def in_type(value: Scalar | None, field: pa.Field) -> Scalar | None:
    """Returns a value as a column holds it.

    Raises:
        UnreadableField: If it is of another type than those of the first samples.
    """
    if value is None:
        return None
    if pa.types.is_string(field.type):
        return value if isinstance(value, str) else json.dumps(value)
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
