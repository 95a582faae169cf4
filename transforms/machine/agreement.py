"""How far features of somebody's own pictures move where they are computed or decoded in a quicker way."""

import dataclasses

import numpy as np

from schemas.serialisation import Serialisable
from schemas.storage import PublishedBase
from transforms.machine.bases import BaseSpeed, load_setting


@dataclasses.dataclass(frozen=True)
class Agreement(Serialisable):
    """Features of pictures beside those of the same pictures in float32, decoded exactly.

    Attributes:
        how: What is different: a precision, or `"scaled"`.
        pictures: How many.
        cosine: The mean cosine of both features of a picture and layer.
        least_cosine: The least one.
        largest_difference: The largest difference of two numbers, as a share of the largest number of its layer.
    """

    how: str
    pictures: int
    cosine: float
    least_cosine: float
    largest_difference: float


def agreement_of(
    conv_base: PublishedBase,
    reference: tuple[BaseSpeed, np.ndarray],
    other: tuple[BaseSpeed, np.ndarray],
    how: str,
) -> Agreement:
    """Compares the features of the same pictures.

    Args:
        conv_base: The base.
        reference: The settings in float32, and uint8 [n, H, W, 3].
        other: Other settings, or other pixels.
        how: What is different.
    """
    pictures = min(len(reference[1]), len(other[1]))
    exact, moved = (_features(conv_base, setting, pixels[:pictures]) for setting, pixels in (reference, other))
    cosines = np.concatenate([_cosines(first, second) for first, second in zip(exact, moved, strict=True)])
    differences = [
        float(np.abs(first - second).max() / max(np.abs(first).max(), np.finfo(np.float32).tiny))
        for first, second in zip(exact, moved, strict=True)
    ]
    return Agreement(how, pictures, float(cosines.mean()), float(cosines.min()), max(differences))


def _features(conv_base: PublishedBase, setting: BaseSpeed, pixels: np.ndarray) -> list[np.ndarray]:
    engine, size = load_setting(conv_base, setting), setting.batch_size
    batches = []
    for start in range(0, len(pixels), size):
        batch = np.zeros((size, *pixels.shape[1:]), np.uint8)
        batch[: len(pixels) - start] = pixels[start : start + size]
        batches.append(engine.submit(batch).result())
    return [np.concatenate(layer)[: len(pixels)] for layer in zip(*batches, strict=True)]


def _cosines(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Returns float64 [n]; features of which both are zero agree."""
    first, second = first.astype(np.float64), second.astype(np.float64)
    products = np.einsum("ij,ij->i", first, second)
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    both_zero = ~first.any(axis=1) & ~second.any(axis=1)
    cosines: np.ndarray = np.where(both_zero, 1.0, products / np.where(lengths > 0, lengths, 1.0))
    return cosines
