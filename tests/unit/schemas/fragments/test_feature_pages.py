"""Features read page by page are those that Arrow reads, and what is not as this package writes it is left to Arrow."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.delta import Scan
from schemas.errors import RunFailed
from schemas.fragments import FeaturePages, feature_pages
from tests.conftest import store_of_features
from transforms.extraction import as_lists

# As `FragmentWriter` writes a feature column.
OURS: Mapping[str, Any] = {
    "compression": "zstd", "use_dictionary": False, "write_statistics": False, "write_page_checksum": True,
}  # fmt: skip
KIND = pa.list_(pa.field("element", pa.float32(), nullable=False))


def features(rows: int, size: int) -> np.ndarray:
    values = np.random.default_rng(size).standard_normal((rows, size), np.float32)
    return np.maximum(values, 0)


def written(folder: Path, lists: pa.Array, *, nullable: bool = False, rows_per_group: int = 700, **how: Any) -> str:
    schema = pa.schema([pa.field("uri", pa.string()), pa.field("f", lists.type, nullable=nullable)])
    table = pa.table([pa.array([str(number) for number in range(len(lists))]), lists], schema=schema)
    pq.write_table(table, folder / "f.parquet", row_group_size=rows_per_group, **{**OURS, **how})
    return str(folder / "f.parquet")


@pytest.mark.parametrize("compression", ["zstd", "none"])
@pytest.mark.parametrize("size", [16, 17, 100, 256, 1000, 1024, 1280, 2047, 2048, 7 * 7 * 512])
def test_features_are_those_of_arrow(size: int, compression: str, tmp_path: Path) -> None:
    """Of pages that end within lists, too; one may end too near to the end of a list."""
    expected = features(1500 if size < 3000 else 40, size)
    path = written(tmp_path, as_lists(expected, KIND), compression=compression)
    pages, read = FeaturePages(path, "f"), 0
    for group in range(pq.ParquetFile(path).num_row_groups):
        found = pages.vectors(group, size)
        rows = expected[700 * group : 700 * (group + 1)]
        if found is not None:
            np.testing.assert_array_equal(found, rows)
            read += len(rows)
    assert read == len(expected)
    assert pages.vectors(99, size) is None
    assert pages.vectors(0, size + 1) is None


def test_columns_and_numbers_of_a_list_may_be_declared_as_nullable(tmp_path: Path) -> None:
    expected = features(50, 64)
    for nullable in (False, True):
        kind = pa.list_(pa.field("element", pa.float32(), nullable=nullable))
        path = written(tmp_path, as_lists(expected, kind), nullable=nullable)
        found = FeaturePages(path, "f").vectors(0, 64)
        assert found is not None
        np.testing.assert_array_equal(found, expected)


def rows_of(count: int) -> list[list[float | None] | None]:
    return [[0.5] * 64 for _ in range(count)]


OTHERWISE: Mapping[str, tuple[list[Any], Mapping[str, Any]]] = {
    "a missing list": ([*rows_of(9), None, [0.5] * 128, *rows_of(9)], {}),
    "a missing number": ([*rows_of(9), [0.5] * 63 + [None]], {}),
    "an empty list": ([*rows_of(9), [], [0.5] * 128], {}),
    "lists of two lengths": ([*rows_of(9), [0.5] * 63, [0.5] * 65, *rows_of(9)], {}),
    "packed otherwise": (rows_of(20), {"compression": "snappy"}),
    "a dictionary": (rows_of(20), {"use_dictionary": True}),
    "other pages": (rows_of(20), {"data_page_version": "2.0"}),
    "another encoding": (rows_of(20), {"column_encoding": {"f.list.element": "BYTE_STREAM_SPLIT"}}),
    "other numbers": (rows_of(20), {"kind": pa.float64()}),
}


@pytest.mark.parametrize(("rows", "how"), OTHERWISE.values(), ids=OTHERWISE)
def test_what_is_written_otherwise_is_left_to_arrow(rows: list[Any], how: Mapping[str, Any], tmp_path: Path) -> None:
    kind = how.get("kind", pa.float32())
    options = {name: value for name, value in how.items() if name != "kind"}
    path = written(tmp_path, pa.array(rows, pa.list_(pa.field("element", kind))), nullable=True, **options)
    assert FeaturePages(path, "f").vectors(0, 64) is None
    assert pq.read_table(path).num_rows == len(rows)


@pytest.mark.parametrize("compression", ["zstd", "none"])
def test_no_bit_that_is_another_is_read(compression: str, tmp_path: Path) -> None:
    """Neither of the footer, nor of the headers of pages, nor of pages: Arrow reads those, or says what is wrong."""
    expected = features(20, 16)
    path = written(tmp_path, as_lists(expected, KIND), compression=compression)
    data, left = Path(path).read_bytes(), 0
    for place in range(4, len(data)):
        spoilt = bytearray(data)
        spoilt[place] ^= 1 << place % 8
        Path(path).write_bytes(spoilt)
        found = FeaturePages(path, "f").vectors(0, 16)
        if found is None:
            left += 1
        else:
            np.testing.assert_array_equal(found, expected)
    assert left > expected.nbytes / 2
    for length in range(0, len(data), 7):
        Path(path).write_bytes(data[:length])
        assert FeaturePages(path, "f").vectors(0, 16) is None
    assert FeaturePages(f"{path}.gone", "f").vectors(0, 16) is None


def test_row_groups_that_are_too_large_to_be_unpacked_at_once_are_left_to_arrow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, as_lists(features(20, 64), KIND))
    monkeypatch.setattr(feature_pages, "_MOST_BYTES", 4 * 20 * 64 - 1)
    assert FeaturePages(path, "f").vectors(0, 64) is None


def test_the_features_of_a_store_are_read_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = features(5000, 1024)
    store = store_of_features(tmp_path / "store", expected)
    scan = Scan(store.features(), ["features"])
    assert len(scan.to_row_groups()) > 1
    monkeypatch.delattr("schemas.delta.row_groups.feature_array")
    np.testing.assert_array_equal(np.concatenate(list(scan.map_features(lambda part: part))), expected)


def test_a_damaged_page_is_named_as_arrow_names_it(tmp_path: Path) -> None:
    store = store_of_features(tmp_path / "store", features(50, 64))
    (path,) = (tmp_path / "store" / "features").rglob("*.parquet")
    data = bytearray(path.read_bytes())
    chunk = next(
        column
        for column in (pq.read_metadata(path).row_group(0).column(number) for number in range(20))
        if column.path_in_schema == "features.list.element"
    )
    data[chunk.data_page_offset + chunk.total_compressed_size // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(OSError, match="could not verify page integrity"):
        store.neighbours(np.ones((1, 64), np.float32), 3)


def test_rows_without_a_feature_are_no_others(tmp_path: Path) -> None:
    store = store_of_features(tmp_path / "store", features(50, 64))
    (path,) = (tmp_path / "store" / "features").rglob("*.parquet")
    table = pq.read_table(path)
    lists = table["features"].to_pylist()
    lists[7], lists[8] = lists[7][:-1], [*lists[8], 0.5]
    column = pa.array(lists, table.schema.field("features").type)
    place = table.schema.get_field_index("features")
    pq.write_table(table.set_column(place, table.schema.field(place), column), path, **OURS)
    with pytest.raises(RunFailed, match="Rows of the table have no feature of shape"):
        store.neighbours(np.ones((1, 64), np.float32), 3)
