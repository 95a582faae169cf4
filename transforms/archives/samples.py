"""WebDataset: the members of a tar whose names are equal up to the first dot are one sample.

Beside the picture `000042.jpg`, `000042.cls` is its label, `000042.txt` a text about it, and the fields of the object
in `000042.json` are further columns, `label` and `split` among them. A field is named as webdataset names it; what
img2dataset writes is read, but for the fields that every store has itself (`width`, `height`, `sha256`, …).
"""

import json
from collections.abc import Collection
from typing import Final

import pyarrow as pa

from schemas.errors import DamagedArchive
from transforms.archives.archive import Member
from transforms.archives.fields import (
    FIRST_BYTES,
    FIRST_SAMPLES,
    LABEL,
    Fields,
    Scalar,
    UnreadableField,
    column_fields,
    scalar_fields,
)
from transforms.archives.reading import archive_members
from transforms.archives.tar_archives import MOST_WANTED_BYTES

_CLASS: Final = "cls"
_TEXT: Final = "txt"
_OBJECT: Final = "json"


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


def sample_fields(member: Member) -> Fields:
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
            return {LABEL if extension == _CLASS else _TEXT: text.strip() or None}
        found = json.loads(text)
        json.dumps(found, ensure_ascii=False).encode()  # Half of a character is none that a table could hold.
    except (ValueError, RecursionError) as error:
        raise UnreadableField(f"Its .{extension} cannot be read: {error}.") from error
    if not isinstance(found, dict):
        raise UnreadableField("Its .json is no object.")
    return dict(scalar_fields(found))


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
            if len(pictures) > FIRST_SAMPLES or size > FIRST_BYTES:
                break
    except DamagedArchive:
        pass  # What comes before is enough, or its listing will say so.
    return tuple(column_fields([said for key, said in beside.items() if key in pictures]))
