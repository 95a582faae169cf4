"""The footer of a Parquet file as it is written: Arrow's Python (25.0) ends the process over columns that are none.

Its `RowGroupMetaData.column` lets exceptions of C++ pass: for levels that are not those of the schema, for columns
without metadata or with encryption. Footers are in Thrift's compact protocol; numbers of fields are those of
`parquet.thrift` of the format.
"""

import io
from typing import Any, Final

import pyarrow.parquet as pq

_ROW_GROUPS: Final = 4
_COLUMNS: Final = 1
_METADATA, _PATH, _STATISTICS, _NULL_COUNT = 3, 3, 12, 3
_MAGIC_BYTES: Final = 4
# A list of more than so many elements says how many in a number of its own.
_SHORT_LIST: Final = 15


def null_counts(metadata: pq.FileMetaData, path: str) -> list[int | None]:
    """Returns how many nulls a column has in each row group, by its statistics.

    Args:
        metadata: The footer.
        path: The column, as `image.bytes` within a struct.

    Returns:
        A number for each row group; None where the statistics do not say, or it has no such column.
    """
    written = io.BytesIO()
    metadata.write_metadata_file(written)
    groups = Thrift(written.getvalue()[_MAGIC_BYTES:]).struct().get(_ROW_GROUPS, [])
    return [_null_count(group, path) for group in groups]


def _null_count(group: dict[int, Any], path: str) -> int | None:
    columns = (column.get(_METADATA, {}) for column in group.get(_COLUMNS, []))
    names = path.encode().split(b".")
    found: dict[int, Any] = next((column for column in columns if column.get(_PATH) == names), {})
    count: int | None = found.get(_STATISTICS, {}).get(_NULL_COUNT)
    return count


class Thrift:
    """Reads values of Thrift's compact protocol, one after the other; structs are their fields by number.

    Attributes:
        at: How many bytes have been read.
    """

    def __init__(self, data: bytes) -> None:
        """Begins at the first byte."""
        self._data = data
        self.at = 0

    def struct(self) -> dict[int, Any]:
        """Reads a struct.

        Raises:
            ValueError: If it has values of no known kind.
            IndexError: If it is cut off.
        """
        fields: dict[int, Any] = {}
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._signed()
            fields[number] = self._value(head & 15) if head & 15 > 2 else head & 15 == 1
        return fields

    def _value(self, kind: int) -> Any:
        match kind:
            case 1 | 2 | 3:  # In lists booleans are bytes.
                return self._byte()
            case 4 | 5 | 6:
                return self._signed()
            case 7:
                return self._bytes(8)
            case 8:
                return self._bytes(self._unsigned())
            case 9 | 10:
                return self._list()
            case 12:
                return self.struct()
        raise ValueError(f"Footers have no values of kind {kind}.")

    def _list(self) -> list[Any]:
        head = self._byte()
        size = head >> 4 if head >> 4 < _SHORT_LIST else self._unsigned()
        return [self._value(head & 15) for _ in range(size)]

    def _byte(self) -> int:
        self.at += 1
        return self._data[self.at - 1]

    def _bytes(self, count: int) -> bytes:
        self.at += count
        return self._data[self.at - count : self.at]

    def _unsigned(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def _signed(self) -> int:
        value = self._unsigned()
        return value >> 1 ^ -(value & 1)
