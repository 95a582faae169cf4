"""Training reads: a table of features into NumPy, against `pyarrow.parquet.read_table` of the same files.

python -m tests.benchmarks.training_reads --reader=scan --store=STORE --output=seconds.txt
"""

import argparse
import datetime
import hashlib
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.fragments import FragmentWriter, TableName
from schemas.spec import FeatureSpec
from schemas.store import FeatureStore
from tests.benchmarks.results import Figure, ratio
from tests.benchmarks.workshop import Workshop, local_path
from transforms.extraction import as_lists

ROWS: Final = 100_000
FEATURES: Final = 1024
_ROWS_PER_FRAGMENT: Final = 1024
_LAYER: Final = "features"
_DAY: Final = datetime.date(2026, 1, 31)


def training_reads(workshop: Workshop, rounds: int, rows: int = ROWS) -> list[Figure]:
    """Measures both readers, a new process each, the files in the page cache, imports not counted."""
    store = make_store(workshop.scratch("reads"), rows)
    speeds: dict[str, list[float]] = {name: [] for name in READERS}
    failure = ""
    for number in range(rounds + 1):
        for name, values in speeds.items():
            file = workshop.scratch("seconds").with_suffix(".txt")
            command = [sys.executable, "-m", "tests.benchmarks.training_reads", f"--reader={name}"]
            measured = workshop.run([*command, f"--store={store.uri}", f"--output={file}"])
            failure = failure or measured.message
            if number and not measured.exit_code:  # The first round fills the page cache.
                values.append(4e-6 * rows * FEATURES / float(file.read_text()))
    scanned, read = (
        Figure(f"{name}, {rows:,} × {FEATURES} float32", tuple(values), "MB/s", failure)
        for name, values in speeds.items()
    )
    return [scanned, read, ratio("scan ÷ read_table", scanned, read)]


def make_store(folder: Path, rows: int) -> FeatureStore:
    """Makes a store as an extraction would leave it: a fragment a shard, half of the features zero as after a ReLU."""
    spec = FeatureSpec(
        conv_base="VGG16", weights="none", weights_sha256="ab" * 32, input_shape=(32, 32, 3), layers=(_LAYER,),
        pooling="none", feature_shapes=((FEATURES,),),
    )  # fmt: skip
    store = FeatureStore.create(str(folder), spec)
    rng = np.random.default_rng(0)
    fragments = []
    for start in range(0, rows, _ROWS_PER_FRAGMENT):
        numbers = range(start, min(start + _ROWS_PER_FRAGMENT, rows))
        batch = _batch(store, numbers, np.maximum(0, rng.standard_normal((len(numbers), FEATURES), np.float32)))
        path = f"ds={_DAY.isoformat()}/{start:08}.parquet"
        with FragmentWriter(f"{store.uri}/features", TableName.FEATURES, path, batch.schema) as writer:
            writer.write(batch)
        fragments.append(writer.fragment())
    store.commit_fragments(TableName.FEATURES, "r", fragments)
    return store


def _batch(store: FeatureStore, numbers: range, features: np.ndarray) -> pa.RecordBatch:
    schema = pa.schema(store.features().schema())
    schema = schema.remove(schema.get_field_index("ds"))
    count, now = len(numbers), datetime.datetime.now(datetime.UTC)
    values = {
        "uri": [f"file:///pictures/{number:08}.jpg" for number in numbers],
        "version": ["1"] * count,
        "width": [1] * count,
        "height": [1] * count,
        "sha256": [hashlib.sha256(str(number).encode()).hexdigest() for number in numbers],
        "run_id": ["r"] * count,
        "extracted_at": [now] * count,
    }
    return pa.RecordBatch.from_arrays(
        [
            as_lists(features, field.type)
            if field.name == _LAYER
            else pa.array(values.get(field.name, [None] * count), field.type)
            for field in schema
        ],
        schema=schema,
    )


def _scan(uri: str) -> None:
    FeatureStore.open(uri).scan().to_numpy()


def _read_table(uri: str) -> None:
    pq.read_table(Path(local_path(uri), "features", f"ds={_DAY.isoformat()}"), columns=[_LAYER])


READERS: Final[dict[str, Callable[[str], None]]] = {"scan": _scan, "read_table": _read_table}


def main() -> None:
    """Reads a store once and writes the seconds it took."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--reader", choices=tuple(READERS), required=True)
    parser.add_argument("--store", required=True)
    parser.add_argument("--output", required=True)
    given = parser.parse_args()
    started = time.perf_counter()
    READERS[given.reader](given.store)
    Path(given.output).write_text(str(time.perf_counter() - started))


if __name__ == "__main__":
    main()
