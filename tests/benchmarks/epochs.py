"""An epoch of a classifier with a hidden layer: `pipelines.train` beside Keras's `model.fit` on the same arrays."""

import sys
from typing import Final

from tests.benchmarks.made_tables import LABEL, MadeTable, make_table, parquet_folder
from tests.benchmarks.measuring import Measurement
from tests.benchmarks.probes import store_without_rows
from tests.benchmarks.results import Figure, ratio
from tests.benchmarks.workshop import Workshop

TABLE: Final = MadeTable(1_000_000, 256, 52)
_HIDDEN: Final = 256
_BATCH_SIZE: Final = 1024
_FEW: Final = 1
_MANY: Final = 6


def epochs(workshop: Workshop, table: MadeTable, rounds: int) -> list[Figure]:
    """Trains for one epoch and for six, whole processes: a fifth of the difference is an epoch, start-up taken away.

    Raises:
        Unmeasurable: If the table cannot be made.
    """
    store = make_table(workshop.warm_store(store_without_rows(workshop, table.features)), table)
    layer = store.spec.layers[0]

    def ours(epochs: int) -> Measurement:
        return workshop.run(
            [
                sys.executable, "-m", "pipelines.train", f"--features={store.uri}",
                f"--output={workshop.scratch('model')}", f"--label_column={LABEL}", f"--hidden={_HIDDEN}",
                f"--epochs={epochs}", f"--batch_size={_BATCH_SIZE}", "--patience=0",
            ]
        )  # fmt: skip

    def keras_alone(epochs: int) -> Measurement:
        return workshop.run(
            [
                sys.executable, "-m", "tests.benchmarks.peers.model_fit", f"--table={parquet_folder(store)}",
                f"--layer={layer}", f"--label={LABEL}", f"--hidden={_HIDDEN}", f"--epochs={epochs}",
                f"--batch_size={_BATCH_SIZE}",
            ]
        )  # fmt: skip

    name = f"{table.name}, {_HIDDEN} hidden units"
    seconds: dict[str, list[float]] = {name: [], "model.fit on the same arrays": []}
    failure = ""
    for _ in range(rounds):
        for (_, values), train in zip(seconds.items(), (ours, keras_alone), strict=True):
            few, many = train(_FEW), train(_MANY)
            failure = failure or few.message or many.message
            values.append((many.seconds - few.seconds) / (_MANY - _FEW))
    here, keras = (Figure(f"{name}, an epoch", tuple(values), "s", failure) for name, values in seconds.items())
    return [here, keras, ratio("its epoch ÷ model.fit's", here, keras)]
