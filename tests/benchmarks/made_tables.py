"""Made tables of features: correlated ones of classes around points, as of no picture, for benchmarks of training."""

import dataclasses
import datetime
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from schemas.fragments import Fragment, FragmentWriter, TableName
from schemas.store import FeatureStore
from tests.benchmarks.workshop import local_path
from transforms.extraction import as_lists

LABEL: Final = "label"
TAGS: Final = "tags"
SPLITS: Final = ("train", "validation", "test")
_DAY: Final = datetime.date(2026, 1, 31)
_ROWS_PER_FRAGMENT: Final = 65_536
_SHARES: Final = (0.6, 0.2, 0.2)


@dataclasses.dataclass(frozen=True)
class MadeTable:
    """What a made table is like.

    Attributes:
        rows: Its rows, 60 % of them to train, 20 % to validate and 20 % to test.
        features: Numbers in a feature.
        classes: Classes, or labels of which an image has any number.
        several: Whether an image can have several labels.
    """

    rows: int
    features: int
    classes: int
    several: bool = False

    @property
    def name(self) -> str:
        """What the report calls it."""
        kind = "labels, any number an image" if self.several else "classes"
        return f"made, {self.rows:,} × {self.features}, {self.classes} {kind}"

    def scaled(self, share: float) -> "MadeTable":
        """Returns the same with a share of the rows."""
        return dataclasses.replace(self, rows=max(round(share * self.rows), 2000))


def make_table(folder: Path, table: MadeTable) -> FeatureStore:
    """Fills a store without rows, in which a base of so many features is published."""
    store = FeatureStore.open(str(folder))
    if table.several:
        store.carry([pa.field(TAGS, pa.list_(pa.string()))])
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((table.classes, table.features), np.float32)
    centres *= (2.0 if table.several else 4.3) / np.linalg.norm(centres, axis=1, keepdims=True)
    # Each feature is a mixture of many: some directions vary much more than others, and the least are noise.
    strengths = np.float32(table.features) ** -0.5 * np.arange(1, table.features + 1, dtype=np.float32) ** -0.5
    mixing = rng.standard_normal((table.features, table.features), np.float32) * strengths[:, None] * 4
    names = np.array([f"class-{number:03}" for number in range(table.classes)])
    fragments = []
    for start in range(0, table.rows, _ROWS_PER_FRAGMENT):
        count = min(_ROWS_PER_FRAGMENT, table.rows - start)
        if table.several:
            present = rng.random((count, table.classes)) < np.linspace(0.02, 0.4, table.classes)
            middles = present.astype(np.float32) @ centres
            columns = {TAGS: [names[row].tolist() for row in present]}
        else:
            classes = rng.integers(0, table.classes, count)
            middles, columns = centres[classes], {LABEL: names[classes].tolist()}
        values = (middles + rng.standard_normal(middles.shape, np.float32)) @ mixing
        values += 0.1 * rng.standard_normal(values.shape, np.float32)
        columns["split"] = rng.choice(SPLITS, count, p=_SHARES).tolist()
        fragments.append(write_rows(store, range(start, start + count), np.maximum(values + 0.5, 0), columns))
    store.commit_fragments(TableName.FEATURES, "r", fragments)
    return store


def write_rows(
    store: FeatureStore, numbers: range, features: np.ndarray, columns: Mapping[str, Sequence[object]] = {}
) -> Fragment:
    """Writes a fragment of rows of numbered pictures, as an extraction would.

    Args:
        store: A store of one layer.
        numbers: The numbers of the pictures.
        features: float32 [n, D].
        columns: Further columns.
    """
    schema = pa.schema(store.features().schema())
    schema = schema.remove(schema.get_field_index("ds"))
    count, now = len(numbers), datetime.datetime.now(datetime.UTC)
    values: dict[str, Sequence[object]] = {
        "uri": [f"file:///pictures/{number:08}.jpg" for number in numbers],
        "version": ["1"] * count,
        "width": [1] * count,
        "height": [1] * count,
        "sha256": [hashlib.sha256(str(number).encode()).hexdigest() for number in numbers],
        "run_id": ["r"] * count,
        "extracted_at": [now] * count,
        **columns,
    }
    (layer,) = store.spec.layers
    batch = pa.RecordBatch.from_arrays(
        [
            as_lists(features, field.type)
            if field.name == layer
            else pa.array(values.get(field.name, [None] * count), field.type)
            for field in schema
        ],
        schema=schema,
    )
    path = f"ds={_DAY.isoformat()}/{numbers.start:08}.parquet"
    with FragmentWriter(f"{store.uri}/features", TableName.FEATURES, path, schema) as writer:
        for start in range(0, count, 1024):
            writer.write(batch.slice(start, 1024))
    return writer.fragment()


def parquet_folder(store: FeatureStore) -> Path:
    """Returns the folder of the Parquet files of a made table."""
    return Path(local_path(store.uri), "features", f"ds={_DAY.isoformat()}")
