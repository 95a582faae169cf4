"""Keras alone: `load_img` in the threads of a `PyDataset`, and `Model.predict`.

After https://keras.io/api/utils/python_utils/#pydataset-class.
"""

import math
import os

import keras
import numpy as np

from tests.benchmarks.peers.task import BATCH_SIZE, Task


class Pictures(keras.utils.PyDataset):
    """Batches of pictures, float32 [N, side, side, 3] in 0 to 255."""

    def __init__(self, task: Task) -> None:
        super().__init__(workers=os.cpu_count() or 1, use_multiprocessing=False)
        self._task = task

    def __len__(self) -> int:
        """Returns the number of batches."""
        return math.ceil(len(self._task.pictures) / BATCH_SIZE)

    def __getitem__(self, index: int) -> tuple[np.ndarray]:
        """Returns a batch."""
        size = (self._task.side, self._task.side)
        paths = self._task.pictures[index * BATCH_SIZE : (index + 1) * BATCH_SIZE]
        images = [keras.utils.load_img(path, target_size=size, interpolation="bilinear") for path in paths]
        return (np.stack([keras.utils.img_to_array(image) for image in images]),)


def main() -> None:
    """Extracts the features."""
    task = Task.from_command_line()
    task.write(task.build_model().predict(Pictures(task), verbose=0))


if __name__ == "__main__":
    main()
