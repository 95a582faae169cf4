"""Data sets as Hugging Face's `datasets` and TensorFlow write them, drawn by the tests without either."""

import json
import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import google_crc32c
import pyarrow as pa
import pyarrow.parquet as pq

Cell = Mapping[str, bytes | str | None]
Value = bytes | int | float
Features = Mapping[str, Value | Sequence[Value]]

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def write_image_table(
    path: Path,
    cells: Sequence[Cell | None],
    classes: Mapping[str, Sequence[str]] | None = None,
    rows_per_group: int = 4,
    **columns: Sequence[object] | pa.Array,
) -> Path:
    """Writes a Parquet file with a column `image`, as `Dataset.to_parquet` does.

    Args:
        path: The file.
        cells: Bytes and path of each image.
        classes: The names of classes, by the columns that hold their numbers.
        rows_per_group: The rows of a row group.
        columns: Further columns.
    """
    table = pa.table({"image": pa.array(cells, IMAGE), **columns})
    features: dict[str, object] = {"image": {"_type": "Image"}}
    for name, names in (classes or {}).items():
        one = {"names": list(names), "_type": "ClassLabel"}
        is_list = pa.types.is_list(table.schema.field(name).type)
        features[name] = {"feature": one, "_type": "Sequence"} if is_list else one
    metadata = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.replace_schema_metadata(metadata), path, row_group_size=rows_per_group)
    return path


def example(features: Features) -> bytes:
    """Returns a `tf.train.Example`, by the wire format of protocol buffers; the values of a list have one type."""
    entries = (
        _field(1, _field(1, name.encode()) + _field(2, _feature(value if isinstance(value, list) else [value])))
        for name, value in features.items()
    )
    return _field(1, b"".join(entries))


def _feature(values: Sequence[Any]) -> bytes:
    if not values or isinstance(values[0], bytes):
        return _field(1, b"".join(_field(1, value) for value in values))
    if isinstance(values[0], float):
        return _field(2, _field(1, struct.pack(f"<{len(values)}f", *values)))
    return _field(3, _field(1, b"".join(map(_varint, values))))


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    groups = []
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*groups, number])


def write_records(path: Path, records: Iterable[bytes]) -> Path:
    """Writes a TFRecord file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(map(record, records)))
    return path


def record(data: bytes) -> bytes:
    """Returns a record of a TFRecord file: length, data, and the masked CRC-32C of each."""
    length = struct.pack("<Q", len(data))
    return length + _checksum(length) + data + _checksum(data)


def _checksum(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
