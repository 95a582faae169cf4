"""Origin: where a conv base comes from, and what every one of them gives: the base's files, and what it is made of."""

from pathlib import Path
from typing import Final, Protocol

from schemas.spec import FeatureSpec

# The input of a published base, which takes pixels in colour whatever the network in it takes.
PIXELS: Final = "pixels"

KERAS_FILE: Final = "base.keras"
OPENVINO_FILES: Final = ("base.xml", "base.bin")
CONV_BASE_FILES: Final = (KERAS_FILE, *OPENVINO_FILES)


def files_of_origin(spec: FeatureSpec) -> tuple[str, ...]:
    """Returns the names of the files of a spec's base: one for Keras is among them where it comes from Keras."""
    return CONV_BASE_FILES if spec.is_keras else OPENVINO_FILES


class Origin(Protocol):
    """Where a conv base comes from. Its methods are called in a process of Keras's own (`in_keras_process`)."""

    def export(self, spec: FeatureSpec, folder: Path) -> FeatureSpec:
        """Builds the base of a spec, from uint8 pixels [N, H, W, 3] to pooled features, and writes its files.

        Args:
            spec: A spec; fields that it leaves open are filled in.
            folder: A local folder, which gets the files that `files_of_origin` names.

        Returns:
            The spec, resolved.

        Raises:
            InvalidSpec: If it cannot be built, or has no such layer.
            WeightsUnavailable: If the weights, or the file, cannot be had.
        """
        ...

    def summary(self, spec: FeatureSpec) -> list[str]:
        """Returns lines about the network of a spec, the last of them the layers that a spec may name.

        Raises:
            InvalidSpec: If it cannot be built.
            WeightsUnavailable: If the file cannot be had.
        """
        ...
