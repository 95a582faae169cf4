"""What is measured: conv bases, precisions, pictures, and who competes."""

import dataclasses
import sys
from pathlib import Path
from typing import Final

# Pixels of the input's height and width.
SIDES: Final = {
    "VGG16": 150, "ResNet50": 224, "MobileNet": 224, "InceptionV3": 299, "Xception": 299, "EfficientNetV2B0": 224,
    "ConvNeXtTiny": 224, "DenseNet121": 224,
}  # fmt: skip
RACED: Final = ("VGG16", "ResNet50", "MobileNet")
PRECISIONS: Final = ("float32", "bfloat16")
PEERS: Final = {
    "Keras predict": "keras_predict",
    "tf.data": "tf_data",
    "Beam RunInference": "beam_run_inference",
    "Ray Data": "ray_data",
    "Daft": "daft_class",
    "PyTorch": "torch_loader",
}
# Peers that read pictures from a bucket, too.
REMOTE: Final = frozenset({"tf_data", "ray_data", "daft_class", "torch_loader"})
# Peers whose networks have weights of their own, so that their features are others.
OTHER_WEIGHTS: Final = frozenset({"torch_loader"})
WARM: Final = "ours, warm"
WARM_HALF: Final = "ours, warm, half the pictures"
COLD: Final = "ours, cold"
SCALED: Final = "ours, warm, scaled decoding"


@dataclasses.dataclass(frozen=True)
class Case:
    """One table of the report: the same work for everybody in it.

    Attributes:
        pictures: Their kind, for the report.
        paths: The pictures, at least `count`.
        count: How many a contestant processes.
        conv_base: A builder of `keras.applications`.
        precision: float32 or bfloat16.
        weights: The file of the base's weights, the same for everybody.
        contestants: Their names.
        our_options: Further options of our command, such as `--engine=keras`.
    """

    pictures: str
    paths: tuple[str, ...]
    count: int
    conv_base: str
    precision: str
    weights: str
    contestants: tuple[str, ...]
    our_options: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What the report calls it."""
        return f"{self.conv_base} {self.side}×{self.side}, {self.precision}, {self.count} {self.pictures}"

    @property
    def side(self) -> int:
        """Pixels of the input's height and width."""
        return SIDES[self.conv_base]

    def count_of(self, contestant: str) -> int:
        """Returns how many pictures a contestant processes."""
        return self.count // 2 if contestant == WARM_HALF else self.count


def peer_command(case: Case, contestant: str, pictures: Path, output: Path) -> list[str]:
    """Returns the command of a peer, which writes Parquet into the folder `output`."""
    return [
        sys.executable, "-m", f"tests.benchmarks.peers.{PEERS[contestant]}", f"--pictures={pictures}",
        f"--conv_base={case.conv_base}", f"--side={case.side}", f"--weights={case.weights}",
        f"--precision={case.precision}", f"--output={output}",
    ]  # fmt: skip


def our_command(case: Case, store: Path, *inputs: Path | str, scaled: bool = False) -> list[str]:
    """Returns the command of our extraction into a store."""
    return [
        sys.executable, "-m", "pipelines.extract", "--runner=DirectRunner", f"--conv_base={case.conv_base}",
        f"--input_shape={case.side},{case.side},3", "--pooling=avg", f"--weights={case.weights}",
        *([f"--precision={case.precision}"] if case.precision != "float32" else []),
        *(["--decode=scaled"] if scaled else []),
        *case.our_options,
        *(f"--input={path}" for path in inputs), f"--output={store}",
    ]  # fmt: skip
