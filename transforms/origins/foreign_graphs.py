"""Graphs that others have made: what OpenVINO says of them in a sentence, and whether they take pictures in batches."""

import contextlib
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import numpy as np

from schemas.errors import InvalidSpec
from schemas.spec import FeatureSpec
from transforms.runtime import OPENVINO_ERRORS, import_openvino, why_openvino_fails

if TYPE_CHECKING:
    import openvino

_OUR_FOLDER: Final = re.compile(r"[^\s\"']*/convbase-[^/]*/")
_PICTURES: Final = 3
# Rounding of float32, as a share of the largest value.
_ROUNDING: Final = 1e-4


@contextlib.contextmanager
def refused_by_openvino(spec: FeatureSpec) -> Iterator[None]:
    """Takes what OpenVINO raises for the fault of the network.

    Raises:
        InvalidSpec: In place of it.
    """
    try:
        yield
    except OPENVINO_ERRORS as error:
        why = _OUR_FOLDER.sub("", why_openvino_fails(error))
        raise InvalidSpec(f"{spec.conv_base} is no network that OpenVINO runs on such pictures: {why}") from error
    except MemoryError as error:
        raise InvalidSpec(f"{spec.conv_base} takes more memory than this machine has.") from error


def check_batches(base: "openvino.Model", spec: FeatureSpec) -> None:
    """Checks that the features of a picture do not depend on the others of its batch.

    Raises:
        InvalidSpec: If they do, as where a network was saved for one picture at a time.
    """
    pictures = np.random.default_rng(0).integers(0, 256, (_PICTURES, *spec.resolved_input_shape), np.uint8)
    compiled = import_openvino().compile_model(base, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    together = [np.array(value) for value in compiled(pictures).values()]
    alone = [[np.array(value) for value in compiled(picture[None]).values()] for picture in pictures]
    for number, expected in enumerate(map(np.concatenate, zip(*alone, strict=True))):
        if together[number].shape != expected.shape or not _is_near(together[number], expected):
            raise InvalidSpec(
                f"{spec.conv_base} computes a picture otherwise when others are in its batch: save it for batches of "
                "any size."
            )


def _is_near(ours: np.ndarray, theirs: np.ndarray) -> bool:
    return bool(np.allclose(ours, theirs, rtol=0, atol=_ROUNDING * float(np.abs(theirs).max()), equal_nan=True))
