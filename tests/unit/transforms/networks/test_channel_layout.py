"""A published network transposes its pixels, and nothing else until its outputs, whatever the base."""

import collections
from pathlib import Path

import numpy as np
import openvino
import pytest

from schemas.spec import FeatureSpec
from tests.unit.transforms.conv_bases.test_conv_bases import FAMILIES, OTHERS, SEVEN, assert_equal, pictures
from transforms.networks import export_to_openvino, in_keras_process, keras_export
from transforms.origins.applications import load_built
from transforms.origins.keras_bases import base_of

# What OpenVINO has no compiled kernel for, and does by copying memory: concatenations of channels, margins that a
# convolution or pooling cannot add by itself (around maps with values below zero, or with a part cut off again).
COPIES = {"Concatenation", "Pad", "StridedSlice"}
COPYING = ("DenseNet", "Inception", "NASNet", "ResNet50V2", "ResNet101V2", "ResNet152V2")

# Element-wise passes over a feature map besides that of the pixels, and why they cannot be a part of a convolution.
# DenseNet, ResNetV2, NASNet: batch normalisation and ReLU come before a convolution, and their input is needed
# elsewhere. Xception: a ReLU before a convolution whose input is also the shortcut. Squeeze-and-excitation: a product
# with what was computed of the whole map. ConvNeXt: layer normalisation.
ELEMENT_WISE = ("DenseNet", "ResNet50V2", "ResNet101V2", "ResNet152V2", "NASNet", "Xception", "EfficientNet",
                "MobileNetV3", "ConvNeXt")  # fmt: skip

# As large as half of the others together.
LARGE = {"ConvNeXtLarge", "ConvNeXtXLarge", "NASNetLarge", "EfficientNetV2L", "EfficientNetB7", "ConvNeXtBase"}

# With random weights each of their many blocks adds to the values of the last, until rounding decides: features by
# Keras on TensorFlow and on OpenVINO then differ by half of the largest (V2L). Here each block adds a tenth as much.
DEEP = {"EfficientNetV2M", "EfficientNetV2L"}


def exported(spec: FeatureSpec, folder: Path) -> None:
    """Writes what Keras exports, and what is published; runs in a Keras process."""
    shaped, network = load_built(spec)
    if spec.conv_base in DEEP:
        for layer in network.model.layers:
            if layer.name.endswith("project_bn"):
                layer.gamma.assign(np.full(layer.gamma.shape, 0.1, np.float32))
    model = base_of(network, shaped)
    openvino.save_model(keras_export(model, folder), str(folder / "keras.xml"), compress_to_fp16=False)
    export_to_openvino(model, folder / "published.xml")


def compiled(path: Path, batch_size: int = 4) -> openvino.CompiledModel:
    core = openvino.Core()
    network = core.read_model(path)
    shape = network.input(0).get_partial_shape()
    shape[0] = batch_size
    network.reshape(shape)
    return core.compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


def layers(model: openvino.CompiledModel) -> collections.Counter[str]:
    return collections.Counter(node.get_rt_info()["layerType"] for node in model.get_runtime_model().get_ops())


def reference_kernels(model: openvino.CompiledModel) -> set[str]:
    """The kinds of layers over feature maps of floats that have no compiled kernel."""
    return {
        node.get_rt_info()["layerType"]
        for node in model.get_runtime_model().get_ops()
        if "ref" in node.get_rt_info()["primitiveType"] and node.get_output_element_type(0) == openvino.Type.f32
    }


def assert_same_features(model: openvino.CompiledModel, folder: Path) -> None:
    side = model.input(0).shape[1]
    theirs = compiled(folder / "keras.xml", 1)  # What Keras exports of EfficientNet takes no other batch.
    expected = [list(theirs(row[None]).values()) for row in pictures(side)]
    for index, features in enumerate(model(pictures(side)).values()):
        assert_equal(features, np.concatenate([row[index] for row in expected]))


def check(name: str, folder: Path) -> None:
    side = SEVEN.get(name, (64,))[0] if name not in {"VGG16", "VGG19"} else 32
    spec = FeatureSpec(name, weights="none", input_shape=(max(side, 64),) * 2 + (3,), pooling="avg")
    in_keras_process(exported, spec, folder)
    model = compiled(folder / "published.xml")
    assert_same_features(model, folder)
    found = layers(model)
    assert found["Transpose"] == 1
    assert reference_kernels(model) <= (COPIES if name.startswith(COPYING) else set())
    if not name.startswith(ELEMENT_WISE):
        assert found["Subgraph"] + found["Eltwise"] <= 1
        assert found["Reorder"] <= 1


@pytest.mark.parametrize("name", sorted({*SEVEN, *FAMILIES, *OTHERS} - LARGE))
def test_a_network_transposes_its_pixels_alone(name: str, tmp_path: Path) -> None:
    check(name, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(LARGE))
def test_a_large_network_transposes_its_pixels_alone(name: str, tmp_path: Path) -> None:
    check(name, tmp_path)


@pytest.mark.parametrize("pooling", ["none", "max"])
def test_maps_come_out_with_their_channels_last(pooling: str, tmp_path: Path) -> None:
    spec = FeatureSpec(
        "EfficientNetV2B0", weights="none", input_shape=(64, 64, 3), pooling=pooling,
        layers=("block2b_add", "block4a_se_reduce", "top_activation"),
    )  # fmt: skip
    in_keras_process(exported, spec, tmp_path)
    model = compiled(tmp_path / "published.xml")
    assert_same_features(model, tmp_path)
    # Of the pixels, and of each map, unless it is one with its last reorder; that of one pixel a channel needs none.
    assert layers(model)["Transpose"] <= (3 if pooling == "none" else 1)


@pytest.mark.parametrize("name", ["VGG16", "MobileNet", "NASNetMobile"])
def test_a_classifier_on_top_sees_the_maps_as_it_was_trained_on_them(name: str, tmp_path: Path) -> None:
    spec = FeatureSpec(name, weights="none", include_top=True)
    in_keras_process(exported, spec, tmp_path)
    model = compiled(tmp_path / "published.xml", 4)
    assert_same_features(model, tmp_path)
    assert layers(model)["Transpose"] <= 2  # VGG16 flattens its last map.


@pytest.mark.parametrize(("name", "side"), [("ResNet50", 64), ("InceptionV3", 75), ("ConvNeXtTiny", 64)])
def test_features_are_the_same_bytes_whatever_the_batch_size(name: str, side: int, tmp_path: Path) -> None:
    in_keras_process(exported, FeatureSpec(name, weights="none", input_shape=(side, side, 3)), tmp_path)
    expected = np.concatenate([compiled(tmp_path / "published.xml", 1)(row[None])[0] for row in pictures(side)])
    for batch_size in (2, 3, 8, 32):
        padded = np.concatenate([pictures(side)] * 8)[:batch_size]
        found = compiled(tmp_path / "published.xml", batch_size)(padded)[0]
        np.testing.assert_array_equal(found[:4], expected[: len(found[:4])])
