"""The spec that the options of a command ask for, whole or in part."""

import argparse
from collections.abc import Mapping
from typing import Any, Final

from pipelines.options import asked_augmentation, spec_options
from schemas.augmentation import AugmentedRows
from schemas.errors import UsageError, shown
from schemas.spec import IMAGENET, NO_WEIGHTS, FeatureSpec
from schemas.storage import bare_uri, canonical_uri
from transforms.origins import said_by_preset, saved_sha256, with_saved_network

# An early layer: with random weights, each further layer distinguishes the shapes less well.
_SAMPLE_SPEC: Final[Mapping[str, Any]] = {
    "conv_base": "MobileNet",
    "conv_base_args": {"alpha": 0.25},
    "weights": NO_WEIGHTS,
    "input_shape": (96, 96, 3),
    "layers": ("conv_pw_3_relu",),
}


def asked_spec(given: argparse.Namespace) -> dict[str, Any]:
    """Returns the fields of the spec that were given, files by their SHA-256, an augmentation by its fields.

    Raises:
        UsageError: If an augmentation has ranges, but no rows, or a saved network has options of other bases.
        InvalidSpec: If it cannot be.
        WeightsUnavailable: If the weights file, or the saved network, cannot be read.
    """
    asked = asked_features(given)
    augmentation = asked_augmentation(given)
    if augmentation:
        asked["augmentation"] = augmentation
    return asked


def asked_features(given: argparse.Namespace) -> dict[str, Any]:
    """Returns the fields of the spec that were given and decide what features are, files by their SHA-256.

    Raises:
        UsageError: If a saved network has options of other bases.
        InvalidSpec: If the base is a file of another kind.
        WeightsUnavailable: If the weights file, or the saved network, cannot be read.
    """
    asked = with_saved_network(spec_options(given))
    if asked.get("weights") not in {None, NO_WEIGHTS, IMAGENET}:
        asked["weights"] = _recorded_uri(asked["weights"])
        asked["weights_sha256"] = saved_sha256(asked["weights"])
    return asked


def _recorded_uri(given: str) -> str:
    uri = canonical_uri(given)
    if bare_uri(uri) != uri:
        raise UsageError(
            f"{shown(bare_uri(uri))} was given with a signature or a password, and a store records where its weights "
            "are from: copy the file, and name the copy."
        )
    return uri


def new_spec(given: argparse.Namespace) -> FeatureSpec:
    """Returns the spec of a store that is to be made, what is not given filled in."""
    asked = asked_spec(given)
    asked = {**said_by_preset(asked), **asked}
    augmentation = asked.pop("augmentation", None)
    if augmentation and augmentation["rows"]:
        asked["augmentation"] = AugmentedRows(**augmentation)
    if given.input:
        return FeatureSpec(**{"conv_base": "VGG16", **asked})
    return FeatureSpec(**{**({"weights": NO_WEIGHTS} if "conv_base" in asked else _SAMPLE_SPEC), **asked})
