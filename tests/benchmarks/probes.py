"""Linear probes of made tables: `pipelines.train` beside scikit-learn's `LogisticRegression`, whole processes."""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
from PIL import Image

from schemas.store import FeatureStore
from tests.benchmarks.made_tables import LABEL, TAGS, MadeTable, make_table, parquet_folder
from tests.benchmarks.measuring import Measurement
from tests.benchmarks.results import Figure, ratio
from tests.benchmarks.workshop import Unmeasurable, Workshop

TABLES: Final = {
    "labels": MadeTable(100_000, 256, 20, several=True),
    "wide": MadeTable(100_000, 1024, 102),
    "long": MadeTable(1_000_000, 256, 52),
    "longest": MadeTable(10_000_000, 256, 52),
}
PROBED: Final = ("labels", "wide", "long")
# Of MobileNet, by the numbers that its averaged feature maps have.
_ALPHAS: Final = {256: 0.25, 1024: 1.0}
_VALUES: Final = tuple(np.logspace(-4, 2, 13))
# Of a larger training part, scikit-learn tries three values around the one that the probe has found.
_MOST_ROWS_OF_ALL_VALUES: Final = 200_000
_STREAMED_MB: Final = 200
_MOST_BYTES_IN_MEMORY: Final = 4 * 10**9

_Trained: TypeAlias = tuple[Measurement, dict[str, float]]


def probes(workshop: Workshop, tables: Sequence[MadeTable], rounds: int, *, with_peer: bool) -> list[Figure]:
    """Trains on each table as often as there are rounds, once streamed, and once by scikit-learn.

    Raises:
        Unmeasurable: If a table cannot be made.
    """
    return [figure for table in tables for figure in _probe(workshop, table, rounds, with_peer=with_peer)]


def _probe(workshop: Workshop, table: MadeTable, rounds: int, *, with_peer: bool) -> Iterator[Figure]:
    store = make_table(workshop.warm_store(store_without_rows(workshop, table.features)), table)
    streamed = [_trained(workshop, store, table, _STREAMED_MB)]
    if 4 * table.rows * table.features > _MOST_BYTES_IN_MEMORY:
        yield from _figures(f"{table.name}: --memory_mb={_STREAMED_MB}", streamed)
        return
    held = [_trained(workshop, store, table, 10**6) for _ in range(rounds)]
    in_memory = _figures(f"{table.name}: in memory", held)
    yield from in_memory
    with_less = _figures(f"--memory_mb={_STREAMED_MB}", streamed)
    yield from with_less
    yield ratio("its time ÷ that in memory", with_less[0], in_memory[0])
    if with_peer:
        yield from _peer(workshop, store, table, in_memory[-1], held[0][1])


def _figures(name: str, trained: Sequence[_Trained]) -> list[Figure]:
    failure = next((one.message or f"exit code {one.exit_code}" for one, _ in trained if one.exit_code), "")
    return [
        Figure(name, tuple(one.seconds for one, _ in trained), "s", failure),
        Figure("its CPU", tuple(one.cpu_seconds for one, _ in trained), "s", failure),
        Figure("its peak memory", tuple(one.peak_bytes / 1e6 for one, _ in trained), "MB", failure),
        Figure("its test log loss", tuple(found["test_log_loss"] for _, found in trained if found), "", failure),
    ]


def _peer(
    workshop: Workshop, store: FeatureStore, table: MadeTable, ours: Figure, found: dict[str, float]
) -> Iterator[Figure]:
    rows = round(0.6 * table.rows)
    values = _VALUES
    if rows > _MOST_ROWS_OF_ALL_VALUES and found:
        middle = 1 / (2 * found["l2"] * rows)
        values = (middle / 10**0.5, middle, middle * 10**0.5)
    file = workshop.scratch("figures").with_suffix(".json")
    measured = workshop.run(
        [
            sys.executable, "-m", "tests.benchmarks.peers.logistic_regression", f"--table={parquet_folder(store)}",
            f"--layer={store.spec.layers[0]}", f"--label={_label(table)}", f"--figures={file}",
            f"--values={','.join(f'{value:g}' for value in values)}",
        ]
    )  # fmt: skip
    failure = measured.message or f"exit code {measured.exit_code}" if measured.exit_code else ""
    best = {} if failure else json.loads(file.read_text())
    loss = Figure("its test log loss", (best["test"],) if best else (), "", failure)
    name = f"scikit-learn, the best of {len(values)} values of C" + (f": {best['C']:g}" if best else "")
    yield Figure(name, (measured.seconds,), "s", failure)
    yield loss
    yield ratio("test log loss, ours ÷ scikit-learn's", ours, loss)


def _trained(workshop: Workshop, store: FeatureStore, table: MadeTable, memory_mb: int) -> _Trained:
    """Returns what the command took, and its metrics and L2."""
    model = workshop.scratch("model")
    measured = workshop.run(
        [
            sys.executable, "-m", "pipelines.train", f"--features={store.uri}", f"--output={model}",
            f"--label_column={_label(table)}", f"--memory_mb={memory_mb}",
        ]
    )  # fmt: skip
    if measured.exit_code:
        return measured, {}
    card = json.loads(Path(model, "model_card.json").read_text())
    return measured, {**json.loads(Path(model, "metrics.json").read_text()), "l2": card["recipe"]["l2"]}


def store_without_rows(workshop: Workshop, features: int) -> FeatureStore:
    """Returns a store in which a base of so many features is published, made by an extraction of one picture."""
    picture, store = workshop.scratch("picture").with_suffix(".png"), workshop.scratch("published")
    picture.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (32, 32)).save(picture)
    made = workshop.run(
        [
            sys.executable, "-m", "pipelines.extract", "--runner=DirectRunner", "--conv_base=MobileNet",
            f"--conv_base_arg=alpha={_ALPHAS[features]}", "--weights=none", "--input_shape=32,32,3", "--pooling=avg",
            f"--input={picture}", f"--output={store}",
        ]
    )  # fmt: skip
    if made.exit_code:
        raise Unmeasurable(made.message)
    return FeatureStore.open(str(store))


def _label(table: MadeTable) -> str:
    return TAGS if table.several else LABEL
