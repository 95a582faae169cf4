"""`tf.data` and `tf.function`: pictures decoded and resized in parallel, batched, prefetched.

After https://www.tensorflow.org/guide/data_performance.
"""

import numpy as np
import tensorflow as tf

from tests.benchmarks.peers.task import BATCH_SIZE, Task, read_object


def main() -> None:
    """Extracts the features."""
    task = Task.from_command_line()
    model = task.build_model()

    def read(path: tf.Tensor) -> tf.Tensor:
        if not task.is_remote:
            return tf.io.read_file(path)
        return tf.ensure_shape(tf.numpy_function(lambda uri: read_object(uri.decode()), [path], tf.string), ())

    def load(path: tf.Tensor) -> tf.Tensor:
        image = tf.image.decode_jpeg(read(path), channels=3)
        return tf.image.resize(image, (task.side, task.side))

    @tf.function(input_signature=[tf.TensorSpec((None, task.side, task.side, 3), tf.float32)])
    def extract(pixels: tf.Tensor) -> tf.Tensor:
        return model(pixels, training=False)

    batches = (
        tf.data.Dataset.from_tensor_slices(list(task.pictures))
        .map(load, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(BATCH_SIZE)
        .prefetch(tf.data.AUTOTUNE)
    )
    task.write(np.concatenate([extract(batch).numpy() for batch in batches]))


if __name__ == "__main__":
    main()
