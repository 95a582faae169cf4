"""Republishing: the OpenVINO files of a store's conv base made again, of the `.keras` file beside them.

A store keeps the base that made its features, and with it the network that some older version exported. A newer export
of the same base computes the same features, to the rounding of float32, and may be quicker. It takes the place of the
old one only after both were compared on pictures of the store.
"""

import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from schemas.errors import ImageError, RunFailed, UsageError
from schemas.images import ImageRef
from schemas.storage import PublishedBase
from schemas.store import FeatureStore
from transforms.conv_bases.openvino_engine import OpenVINOEngine
from transforms.conv_bases.published import fetch_published
from transforms.conv_bases.publishing import export_again, publish_files, replace_files
from transforms.decoding import MAX_BYTES, DecodingLimits, DecodingRules, decode_image
from transforms.images import fetch_image
from transforms.networks import in_keras_process
from transforms.origins import KERAS_FILE, OPENVINO_FILES
from transforms.runtime import temporary_folder

PICTURES: Final = 16
TOLERANCE: Final = 1e-5
_URIS_TRIED: Final = 64


@dataclasses.dataclass(frozen=True)
class Republication:
    """A conv base whose OpenVINO files were made again.

    Attributes:
        pictures: How many pictures of the store the old and the new network were compared on; 0 if there were none,
            and noise was taken.
        difference: The largest difference of a feature, as a share of the largest feature of its layer.
    """

    pictures: int
    difference: float


def republish(store: FeatureStore, *, dry_run: bool = False) -> Republication:
    """Makes the OpenVINO files of a store's conv base again, and puts them in place of the old ones.

    Args:
        store: The store.
        dry_run: Compare only.

    Raises:
        UsageError: If the base is no Keras model.
        RunFailed: If the new network's features differ from the old one's by more than `TOLERANCE`.
    """
    if not store.spec.is_keras:
        raise UsageError(f"{store.spec.conv_base} is no Keras model, of which networks could be made again.")
    pictures = list(itertools.islice(_pictures(store), PICTURES))
    height, width, _ = store.spec.resolved_input_shape
    pixels = (
        np.stack(pictures)
        if pictures
        else np.random.default_rng(0).integers(0, 256, (PICTURES, height, width, 3), np.uint8)
    )
    with temporary_folder() as folder:
        exported = Path(folder, "exported")
        exported.mkdir()
        fetch_published(store.conv_base(), (KERAS_FILE,), exported)
        in_keras_process(export_again, exported)
        candidate = publish_files(exported, OPENVINO_FILES, str(Path(folder, "published")), store.spec)
        difference = _largest_difference(store.conv_base(), candidate, pixels)
        if not difference <= TOLERANCE:
            raise RunFailed(
                f"The network made from {KERAS_FILE} gives features that differ by {difference:.1e} of the largest "
                f"from the published one's, on {len(pixels)} pictures. That is more than {TOLERANCE:.0e}: "
                "the published one stays."
            )
        if not dry_run:
            replace_files(exported, OPENVINO_FILES, store)
    return Republication(len(pictures), difference)


def _largest_difference(published: PublishedBase, candidate: PublishedBase, pixels: np.ndarray) -> float:
    """Returns the largest difference over all layers, each as a share of the layer's largest feature; in float32."""
    old, new = (OpenVINOEngine(base, len(pixels)).submit(pixels).result() for base in (published, candidate))
    differences = [
        float(np.abs(ours - theirs).max() / max(float(np.abs(theirs).max()), np.finfo(np.float32).tiny))
        for ours, theirs in zip(new, old, strict=True)
    ]
    return max(differences)


def _pictures(store: FeatureStore) -> Iterator[np.ndarray]:
    """Yields pictures of the store that can still be read, uint8 [H, W, 3]."""
    rules = DecodingRules.of_spec(store.spec, DecodingLimits())
    rows = itertools.chain.from_iterable(batch.to_pylist() for batch in store.scan(["uri"]).to_batches())
    for row in itertools.islice(rows, _URIS_TRIED):
        try:
            yield decode_image(fetch_image(ImageRef(row["uri"], "", None), MAX_BYTES), rules).pixels
        except ImageError:
            continue
