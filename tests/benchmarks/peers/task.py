"""What every peer is asked to do, and the parts that are no peer's own: its options, the model, one Parquet file."""

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    import keras

BATCH_SIZE: Final = 32


def read_object(uri: str) -> bytes:
    """Returns the bytes of an object of a bucket, as fsspec reads it."""
    with fsspec.open(uri) as file:
        return bytes(file.read())


@dataclasses.dataclass(frozen=True)
class Task:
    """One extraction.

    Attributes:
        pictures: Paths or URIs of JPEGs.
        conv_base: A builder of `keras.applications`.
        side: Pixels of the input's height and width.
        weights: The file of the base's weights.
        precision: float32, or bfloat16 for Keras's policy `mixed_bfloat16`.
        output: Where the Parquet goes: columns `uri` (the path) and `features` (list of float32).
    """

    pictures: Sequence[str]
    conv_base: str
    side: int
    weights: str
    precision: str
    output: str

    @classmethod
    def from_command_line(cls) -> "Task":
        """Reads the options of a peer's script."""
        parser = argparse.ArgumentParser(allow_abbrev=False)
        parser.add_argument("--pictures", required=True, help="a text file, one path or URI a line")
        parser.add_argument("--conv_base", required=True)
        parser.add_argument("--side", type=int, required=True)
        parser.add_argument("--weights", required=True)
        parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
        parser.add_argument("--output", required=True)
        given = parser.parse_args()
        return cls(
            pictures=Path(given.pictures).read_text().splitlines(),
            conv_base=given.conv_base,
            side=given.side,
            weights=given.weights,
            precision=given.precision,
            output=given.output,
        )

    @property
    def is_remote(self) -> bool:
        """Whether the pictures are in a bucket."""
        return "://" in self.pictures[0]

    def build_model(self) -> "keras.Model":
        """Returns the model from pixels, float32 [N, side, side, 3] in 0 to 255, to features, float32 [N, D].

        Preprocessing is a part of it, which is faster than doing it in NumPy.
        """
        import keras

        if self.precision == "bfloat16":
            keras.config.set_dtype_policy("mixed_bfloat16")
        build = getattr(keras.applications, self.conv_base)
        preprocess_input = getattr(keras.applications, build.__module__.rpartition(".")[2]).preprocess_input
        application = build(include_top=False, weights=None, input_shape=(self.side, self.side, 3))
        application.load_weights(self.weights)
        pixels = keras.Input((self.side, self.side, 3), dtype="float32")
        maps = application(preprocess_input(pixels))
        pooled = keras.layers.GlobalAveragePooling2D(dtype="float32")(maps)
        return keras.Model(pixels, pooled)

    def write(self, features: np.ndarray) -> None:
        """Writes the features, float32 [n, D] in the order of the pictures, as one Parquet file."""
        rows = pa.FixedSizeListArray.from_arrays(pa.array(features.reshape(-1)), features.shape[1])
        Path(self.output).mkdir(parents=True)
        pq.write_table(pa.table({"uri": list(self.pictures), "features": rows}), f"{self.output}/features.parquet")
