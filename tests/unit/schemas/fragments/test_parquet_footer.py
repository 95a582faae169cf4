"""What the footer of a Parquet file says of nulls is what Arrow says, and a footer that ends Arrow ends nothing."""

import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.fragments import null_counts
from tests.fuzz.archives import FAILED

TABLE = pa.table(
    {
        "image": [{"bytes": b"x" if row % 3 or row < 40 else None, "path": "a"} for row in range(100)],
        "plain": [None, b"y"] * 50,
        "number": range(100),
        "flag": [True, None] * 50,
        "lists": [[1.5], None] * 50,
    }
)


@pytest.mark.parametrize(
    "options",
    [
        {}, {"row_group_size": 7}, {"write_page_index": True, "row_group_size": 30}, {"compression": "zstd"},
        {"sorting_columns": [pq.SortingColumn(1)], "row_group_size": 20, "use_dictionary": False},
    ],
)  # fmt: skip
@pytest.mark.parametrize(("path", "column"), [("image.bytes", 0), ("plain", 2), ("number", 3)])
def test_nulls_are_counted_as_arrow_counts_them(path: str, column: int, options: dict[str, Any]) -> None:
    file = io.BytesIO()
    pq.write_table(TABLE, file, **options)
    metadata = pq.read_metadata(file)
    groups = [metadata.row_group(group) for group in range(metadata.num_row_groups)]
    assert null_counts(metadata, path) == [group.column(column).statistics.null_count for group in groups]


def test_what_is_not_said_is_not_known() -> None:
    file = io.BytesIO()
    pq.write_table(TABLE, file, write_statistics=["number"])
    metadata = pq.read_metadata(file)
    assert null_counts(metadata, "image.bytes") == null_counts(metadata, "nowhere") == [None]
    assert null_counts(metadata, "number") == [0]


def test_levels_of_another_schema_end_nothing() -> None:
    """pyarrow's `RowGroupMetaData.column` ends the process over it."""
    metadata = pq.read_metadata(io.BytesIO(FAILED["a table whose images have the levels of another schema"].content))
    assert null_counts(metadata, "image.bytes") != []
