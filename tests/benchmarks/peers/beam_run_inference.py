"""Beam's `RunInference` on its in-process runner, with a handler for a Keras model.

After https://beam.apache.org/documentation/ml/about-ml/; Beam's own `TFModelHandlerNumpy` does the same, but imports
`tensorflow_hub`. The images are reshuffled so that several threads decode and infer.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
import keras
import numpy as np
import pyarrow as pa
from apache_beam.ml.inference.base import KeyedModelHandler, ModelHandler, PredictionResult, RunInference
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from tests.benchmarks.peers.task import BATCH_SIZE, Task

SCHEMA = pa.schema([("uri", pa.string()), ("features", pa.list_(pa.float32()))])


class KerasHandler(ModelHandler[np.ndarray, PredictionResult, keras.Model]):
    """Runs a task's model on batches of pictures, float32 [side, side, 3] each."""

    def __init__(self, task: Task) -> None:
        super().__init__(min_batch_size=BATCH_SIZE, max_batch_size=BATCH_SIZE)
        self._task = task

    def load_model(self) -> keras.Model:
        """Builds the model, once a process."""
        return self._task.build_model()

    def run_inference(
        self, batch: Sequence[np.ndarray], model: keras.Model, inference_args: Mapping[str, Any] | None = None
    ) -> Iterator[PredictionResult]:
        """Yields the features of a batch."""
        yield from map(PredictionResult, batch, model.predict_on_batch(np.stack(batch)))


def load(path: str, side: int) -> tuple[str, np.ndarray]:
    """Returns the path and the pixels of a picture."""
    image = keras.utils.load_img(path, target_size=(side, side), interpolation="bilinear")
    return path, keras.utils.img_to_array(image)


def as_row(result: tuple[str, PredictionResult]) -> dict[str, Any]:
    """Returns the row of a picture."""
    path, prediction = result
    return {"uri": path, "features": prediction.inference.tolist()}


def extract(task: Task, pictures: Iterable[str]) -> None:
    """Runs the pipeline."""
    options = PipelineOptions([], direct_num_workers=os.cpu_count() or 1, direct_running_mode="multi_threading")
    with beam.Pipeline(FnApiRunner(), options) as root:
        (
            root
            | beam.Create(pictures)
            | beam.Reshuffle()
            | beam.Map(load, task.side)
            | RunInference(KeyedModelHandler(KerasHandler(task)))
            | beam.Map(as_row)
            | beam.io.WriteToParquet(f"{task.output}/features", SCHEMA, file_name_suffix=".parquet")
        )


if __name__ == "__main__":
    given = Task.from_command_line()
    extract(given, given.pictures)
