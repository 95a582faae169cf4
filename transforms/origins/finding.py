"""Finding where the conv base of a spec comes from."""

import inspect
import sys
from typing import TYPE_CHECKING

from schemas.spec import KERAS_HUB, FeatureSpec
from transforms.origins import (
    applications,
    foreign_graphs,
    keras_bases,
    picture_input,
    presets,
    saved_files,
    saved_keras,
    saved_networks,
)
from transforms.origins.applications import load_built
from transforms.origins.keras_bases import KerasOrigin, base_of
from transforms.origins.origin import Origin
from transforms.origins.saved_keras import load_saved
from transforms.origins.saved_networks import SavedNetworkOrigin
from transforms.preprocessing import PixelValues

if TYPE_CHECKING:
    import keras


def origin_of(spec: FeatureSpec) -> Origin:
    """Returns the origin of the conv base of a spec."""
    return _keras_origin(spec) if spec.is_keras or spec.saved_format == KERAS_HUB else SavedNetworkOrigin()


def build_conv_base(spec: FeatureSpec) -> "keras.Model":
    """Builds the conv base of a spec, from pixels to features; of one that is a Keras model.

    Args:
        spec: A spec; fields that it leaves open are filled in.

    Returns:
        A model from uint8 pixels [N, H, W, 3] in 0 to 255 to float32 features: [N, C] where a map is pooled, else the
        layer's own shape; a list of outputs where the spec names several layers. The preprocessing of the base is part
        of it.

    Raises:
        InvalidSpec: If Keras cannot build it, or has no such layer.
        WeightsUnavailable: If the weights cannot be had or do not fit.
    """
    known, network = _keras_origin(spec).load(spec)
    return base_of(network, known)


def building_code() -> list[str]:
    """Returns the source code that decides what base is built of a spec: who keeps bases has to know it."""
    modules = (
        applications,
        foreign_graphs,
        keras_bases,
        picture_input,
        presets,
        saved_files,
        saved_keras,
        saved_networks,
    )
    return [
        inspect.getsource(module)
        for module in (*modules, *(sys.modules[name] for name in (PixelValues.__module__, __name__)))
    ]


def _keras_origin(spec: FeatureSpec) -> KerasOrigin:
    return KerasOrigin(load_built if spec.saved_format is None else load_saved)
