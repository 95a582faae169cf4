"""Daft: its own download, decoding and resizing, and a Keras model in a class.

After https://docs.daft.ai/en/stable/custom-code/cls/ and https://docs.daft.ai/en/stable/modalities/images/.
"""

import daft
import numpy as np
from daft import DataType, Series
from daft.functions import decode_image, download, resize

from tests.benchmarks.peers.task import BATCH_SIZE, Task


@daft.cls(max_concurrency=1, use_process=False)
class Extractor:
    """Holds the model."""

    def __init__(self, task: Task) -> None:
        self._model = task.build_model()

    @daft.method.batch(return_dtype=DataType.list(DataType.float32()), batch_size=BATCH_SIZE)
    def extract(self, images: Series) -> list[np.ndarray]:
        """Computes the features of a batch of pictures, uint8 [side, side, 3] each."""
        return list(self._model.predict_on_batch(np.stack(images.to_pylist()).astype(np.float32)))


def main() -> None:
    """Extracts the features."""
    task = Task.from_command_line()
    extractor = Extractor(task)
    pictures = daft.from_pydict({"uri": list(task.pictures)})
    images = resize(decode_image(download(pictures["uri"]), mode="RGB"), task.side, task.side)
    pictures.select("uri", extractor.extract(images).alias("features")).write_parquet(task.output)


if __name__ == "__main__":
    main()
