"""Ray Data: `read_images` in tasks, and a Keras model in an actor.

After https://docs.ray.io/en/latest/data/working-with-images.html and
https://docs.ray.io/en/latest/data/batch_inference.html.
"""

from typing import Any

import numpy as np
import ray

from tests.benchmarks.peers.task import BATCH_SIZE, Task


class Extractor:
    """Holds the model in an actor."""

    def __init__(self, task: Task) -> None:
        self._model = task.build_model()

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, Any]:
        """Computes the features of a batch: `image` uint8 [N, side, side, 3] in, `features` float32 [N, D] out."""
        features = self._model.predict_on_batch(batch["image"].astype(np.float32))
        return {"uri": batch["path"], "features": list(features)}


def main() -> None:
    """Extracts the features."""
    task = Task.from_command_line()
    ray.init(include_dashboard=False, log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    (
        ray.data.read_images(list(task.pictures), size=(task.side, task.side), mode="RGB", include_paths=True)
        .map_batches(
            Extractor,
            fn_constructor_args=(task,),
            batch_size=BATCH_SIZE,
            num_cpus=1,
            compute=ray.data.ActorPoolStrategy(size=1),
        )
        .write_parquet(task.output)
    )


if __name__ == "__main__":
    main()
