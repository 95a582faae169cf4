"""Columns of fragments are compressed, features where that pays."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.fragments import FragmentWriter, TableName
from schemas.tables import features_schema
from tests.conftest import store_of_features
from tests.unit.schemas.store.test_store import SPEC


def compressions(path: Path) -> dict[str, str]:
    group = pq.read_metadata(path).row_group(0)
    columns = [group.column(number) for number in range(group.num_columns)]
    return {column.path_in_schema: column.compression for column in columns}


@pytest.mark.parametrize(("least", "expected"), [(-np.inf, "UNCOMPRESSED"), (0, "ZSTD")], ids=["dense", "half zeros"])
def test_features_are_compressed_where_that_saves_a_quarter(least: float, expected: str, tmp_path: Path) -> None:
    features = np.maximum(np.random.default_rng(0).standard_normal((500, 64), np.float32), np.float32(least))
    store = store_of_features(tmp_path / "store", features)
    (path,) = (tmp_path / "store" / "features").rglob("*.parquet")
    found = compressions(path)
    assert found.pop("features.list.element") == expected
    assert set(found.values()) == {"ZSTD"}
    assert (path.stat().st_size < 0.75 * features.nbytes + 50_000) == (expected == "ZSTD")
    (part,) = store.scan(["features"]).map_features(lambda part: part)
    np.testing.assert_array_equal(part, features)


def test_a_fragment_without_rows_is_a_table_without_rows(tmp_path: Path) -> None:
    schema = pa.schema(features_schema(SPEC))
    with FragmentWriter(tmp_path.as_uri(), TableName.FEATURES, "none.parquet", schema) as writer:
        pass
    assert writer.fragment().rows == 0
    assert pq.read_table(tmp_path / "none.parquet").schema.names == schema.names
