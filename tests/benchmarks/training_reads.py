"""Training reads: a table of features into NumPy, against `pyarrow.parquet.read_table` of the same files.

python -m tests.benchmarks.training_reads --reader=scan --store=STORE --output=seconds.txt
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow.parquet as pq

from schemas.fragments import TableName
from schemas.spec import FeatureSpec
from schemas.store import FeatureStore
from tests.benchmarks.made_tables import parquet_folder, write_rows
from tests.benchmarks.results import Figure, ratio
from tests.benchmarks.workshop import Workshop

ROWS: Final = 100_000
FEATURES: Final = 1024
_ROWS_PER_FRAGMENT: Final = 1024
_LAYER: Final = "features"


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
        features = np.maximum(0, rng.standard_normal((len(numbers), FEATURES), np.float32))
        fragments.append(write_rows(store, numbers, features))
    store.commit_fragments(TableName.FEATURES, "r", fragments)
    return store


def _scan(uri: str) -> None:
    FeatureStore.open(uri).scan().to_numpy()


def _read_table(uri: str) -> None:
    pq.read_table(parquet_folder(FeatureStore.open(uri)), columns=[_LAYER])


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
