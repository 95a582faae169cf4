"""A published conv base gives what Keras gives: the same layers of the same weights, on the same pictures."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from schemas.errors import InvalidSpec, WeightsUnavailable
from schemas.spec import FeatureSpec
from transforms.conv_bases import OpenVINOEngine, summarise_conv_base
from transforms.conv_bases.publishing import prepare_conv_base
from transforms.origins import build_conv_base
from transforms.origins.applications import conv_base_builders, find_builder, with_input_shape

# Name: smallest side, channels of the last map, a layer in the middle.
SEVEN = {
    "VGG16": (32, 512, "block3_pool"),
    "VGG19": (32, 512, "block4_conv2"),
    "ResNet50": (32, 2048, "conv3_block2_out"),
    "MobileNet": (32, 1024, "conv_pw_6_relu"),
    "Xception": (71, 2048, "add_3"),
    "InceptionV3": (75, 2048, "mixed4"),
    "InceptionResNetV2": (75, 1536, "block17_7_ac"),
}

# One of each further family, with what is peculiar to it.
FAMILIES: dict[str, dict[str, Any]] = {
    "MobileNetV2": {"alpha": 0.35},
    "MobileNetV3Small": {"minimalistic": True},
    "EfficientNetB0": {},
    "EfficientNetV2B0": {},
    "DenseNet121": {},
    "ResNet50V2": {},
    "NASNetMobile": {},
    "ConvNeXtTiny": {},
}

# Everything else in keras.applications.
OTHERS = {
    "ConvNeXtBase", "ConvNeXtLarge", "ConvNeXtSmall", "ConvNeXtXLarge", "DenseNet169", "DenseNet201",
    "EfficientNetB1", "EfficientNetB2", "EfficientNetB3", "EfficientNetB4", "EfficientNetB5", "EfficientNetB6",
    "EfficientNetB7", "EfficientNetV2B1", "EfficientNetV2B2", "EfficientNetV2B3", "EfficientNetV2L",
    "EfficientNetV2M", "EfficientNetV2S", "MobileNetV3Large", "NASNetLarge", "ResNet101", "ResNet101V2",
    "ResNet152", "ResNet152V2",
}  # fmt: skip


def pictures(side: int) -> np.ndarray:
    """Four pictures that are no noise: waves of different length and colour, uint8 [4, side, side, 3]."""
    y, x = np.mgrid[:side, :side] / side
    waves = [np.sin(6.3 * (k * x + (4 - k) * y))[..., None] * [1, -0.5, 0.8] for k in range(4)]
    return (127.5 + 127.5 * np.stack(waves)).astype(np.uint8)


def keras_maps(name: str, args: dict[str, Any], side: int, weights: Path, layers: list[str]) -> list[np.ndarray]:
    """What Keras itself makes of the pictures; writes its random weights into a file."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(1)
    builder = conv_base_builders()[name]
    base = builder.build(include_top=False, weights=None, input_shape=(side, side, 3), **args)
    base.save_weights(weights)
    layers[:] = [layer or base.layers[-1].name for layer in layers]
    truncated = keras.Model(base.input, [base.get_layer(layer).output for layer in layers])
    outputs = truncated(builder.preprocess_input(pictures(side).astype(np.float32)))
    return [np.asarray(output) for output in (outputs if isinstance(outputs, list) else [outputs])]


def published(spec: FeatureSpec, folder: Path) -> list[np.ndarray]:
    """What the published base makes of the same pictures: one [4, D] a layer."""
    prepared = prepare_conv_base(spec, folder)
    engine = OpenVINOEngine(prepared.publish(str(folder / "store")), batch_size=4)
    assert spec.input_shape is not None
    return engine.submit(pictures(spec.input_shape[0])).result()


POOLINGS = {
    "none": lambda feature_map: feature_map.reshape(4, -1),
    "avg": lambda feature_map: feature_map.mean((1, 2)),
    "max": lambda feature_map: feature_map.max((1, 2)),
}


def assert_equal(computed: np.ndarray, expected: np.ndarray) -> None:
    """To 1e-5 of the largest value."""
    assert computed.shape == expected.shape
    assert computed.dtype == np.float32
    assert np.abs(computed - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("name", SEVEN)
def test_each_of_the_seven_equals_keras(name: str, tmp_path: Path) -> None:
    side, channels, middle = SEVEN[name]
    weights = tmp_path / "base.weights.h5"
    layers = [middle, ""]
    expected = keras_maps(name, {}, side, weights, layers)
    assert expected[-1].shape[-1] == channels
    spec = FeatureSpec(name, weights=str(weights), input_shape=(side, side, 3), layers=tuple(layers))
    for pooling, pool in POOLINGS.items():
        folder = tmp_path / pooling
        folder.mkdir()
        for computed, feature_map in zip(
            published(dataclasses.replace(spec, pooling=pooling), folder), expected, strict=True
        ):
            assert_equal(computed, pool(feature_map))


@pytest.mark.parametrize("name", FAMILIES)
def test_one_of_each_family_equals_keras(name: str, tmp_path: Path) -> None:
    weights = tmp_path / "base.weights.h5"
    expected = keras_maps(name, FAMILIES[name], 64, weights, layers := [""])
    spec = FeatureSpec(
        name, FAMILIES[name], weights=str(weights), input_shape=(64, 64, 3), layers=tuple(layers), pooling="none"
    )
    assert_equal(published(spec, tmp_path)[0], expected[0].reshape(4, -1))


def test_every_builder_of_keras_is_found() -> None:
    assert conv_base_builders().keys() == SEVEN.keys() | FAMILIES.keys() | OTHERS


@pytest.mark.parametrize("name", [*SEVEN, *FAMILIES, *sorted(OTHERS)])
def test_keras_tells_the_input_shapes(name: str) -> None:
    builder = find_builder(name)
    assert builder.smallest_side() == SEVEN.get(name, (32,))[0]
    height, width, channels = builder.default_input_shape()
    assert height == width >= 224
    assert channels == 3


def test_vgg16_is_chollets() -> None:
    text = summarise_conv_base(FeatureSpec("VGG16", weights="none", input_shape=(150, 150, 3)))
    for fact in ("14,714,688", "block5_pool (MaxPooling2D)", "(None, 4, 4, 512)", "Smallest side: 32", "1,792"):
        assert fact in text


def test_build_conv_base_goes_from_pixels_to_features(mobilenet_weights: Path) -> None:
    spec = FeatureSpec("MobileNet", {"alpha": 0.25}, weights=str(mobilenet_weights), input_shape=(96, 96, 3))
    model = build_conv_base(spec)
    assert isinstance(model, keras.Model)
    expected = keras.applications.MobileNet(
        alpha=0.25, weights=str(mobilenet_weights), include_top=False, pooling="avg", input_shape=(96, 96, 3)
    )(keras.applications.mobilenet.preprocess_input(pictures(96).astype(np.float32)))
    np.testing.assert_allclose(model(pictures(96)), expected, rtol=1e-5, atol=1e-5)


def test_layers_are_named_alike_however_much_was_built_before() -> None:
    spec = FeatureSpec("InceptionV3", weights="none", input_shape=(75, 75, 3), layers=("activation_93",))
    for _ in range(2):
        build_conv_base(spec)


def test_include_top_gives_the_probabilities_of_the_real_classifier(shared: Path, tmp_path: Path) -> None:
    weights = shared / "weights" / "mobilenet_2_5_224_tf.h5"
    spec = FeatureSpec("MobileNet", {"alpha": 0.25}, weights=str(weights), include_top=True)
    prepared = prepare_conv_base(spec, tmp_path)
    assert prepared.spec.layers == ("predictions",)
    assert prepared.spec.feature_shapes == ((1000,),)
    engine = OpenVINOEngine(prepared.publish(str(tmp_path / "store")), batch_size=1)
    picture = keras.utils.load_img(
        shared / "images/dogs_vs_cats/test/cats/cat.1500.jpg", target_size=(224, 224), interpolation="bilinear"
    )
    probabilities = engine.submit(np.asarray(picture)[None]).result()[0]
    np.testing.assert_allclose(probabilities.sum(), 1, rtol=1e-5)
    classes = json.loads((shared / "weights" / "imagenet_class_index.json").read_text())
    first_five = [classes[str(index)][1] for index in np.argsort(probabilities[0])[-5:]]
    assert any("cat" in name.lower() for name in first_five), first_five


def test_random_weights_are_the_same_every_time(tmp_path: Path) -> None:
    spec = FeatureSpec("MobileNet", {"alpha": 0.25}, weights="none", input_shape=(32, 32, 3))
    fingerprints = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        fingerprints.append(prepare_conv_base(spec, tmp_path / name).spec.fingerprint)
    assert fingerprints[0] == fingerprints[1]


def test_imagenet_weights_are_what_keras_fetches(
    mobilenet_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the file in Keras's cache, `imagenet` works offline and has the fingerprint of the file itself."""
    cache = tmp_path / "keras"
    (cache / "models").mkdir(parents=True)
    (cache / "models" / mobilenet_weights.name).write_bytes(mobilenet_weights.read_bytes())
    monkeypatch.setenv("KERAS_HOME", str(cache))
    specs = []
    for name in ("imagenet", str(mobilenet_weights)):
        spec = FeatureSpec("MobileNet", {"alpha": 0.25}, weights=name, input_shape=(224, 224, 3))
        folder = tmp_path / str(len(specs))
        folder.mkdir()
        specs.append(prepare_conv_base(spec, folder).spec)
    assert specs[0].fingerprint == specs[1].fingerprint


def test_imagenet_weights_with_another_hash_than_keras_published_are_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of the right name and the wrong bytes in Keras's cache: Keras fetches it again, here from nowhere."""
    spec = FeatureSpec("VGG16", weights="none", input_shape=(32, 32, 3))
    cached = tmp_path / "keras" / "models" / "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
    cached.parent.mkdir(parents=True)
    conv_base_builders()["VGG16"].build(include_top=False, weights=None).save_weights(tmp_path / "vgg16.weights.h5")
    (tmp_path / "vgg16.weights.h5").rename(cached)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with pytest.raises(WeightsUnavailable, match="cannot be downloaded"):
        prepare_conv_base(dataclasses.replace(spec, weights="imagenet"), tmp_path)


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        (FeatureSpec("VGG61"), "Keras has no conv base 'VGG61'; did you mean 'VGG19' or 'VGG16'?"),
        (FeatureSpec("VGG16", {"alpha": 1}), "VGG16 takes no argument 'alpha'"),
        (FeatureSpec("Xception", input_shape=(70, 80, 3)), "Xception takes no side below 71 pixels"),
        (FeatureSpec("VGG16", include_top=True, input_shape=(150, 150, 3)), "include_top needs the input shape"),
    ],
)
def test_impossible_bases_are_refused(spec: FeatureSpec, sentence: str) -> None:
    with pytest.raises(InvalidSpec, match=sentence.replace("?", r"\?")):
        with_input_shape(spec)


def test_unknown_layers_are_refused_with_the_nearest_names(tmp_path: Path) -> None:
    spec = FeatureSpec("VGG16", weights="none", input_shape=(32, 32, 3), layers=("block5_poll",))
    with pytest.raises(InvalidSpec, match=r"VGG16 has no layer 'block5_poll'; did you mean 'block5_pool'"):
        prepare_conv_base(spec, tmp_path)


def test_weights_that_do_not_fit_are_refused(mobilenet_weights: Path, tmp_path: Path) -> None:
    spec = FeatureSpec("MobileNet", {"alpha": 0.5}, weights=str(mobilenet_weights), input_shape=(32, 32, 3))
    with pytest.raises(WeightsUnavailable, match="does not fit MobileNet"):
        prepare_conv_base(spec, tmp_path)


def test_a_file_that_holds_no_weights_is_refused(tmp_path: Path) -> None:
    (tmp_path / "weights.h5").write_bytes(b"not an HDF5 file")
    spec = FeatureSpec("MobileNet", weights=str(tmp_path / "weights.h5"), input_shape=(32, 32, 3))
    with pytest.raises(WeightsUnavailable, match="does not fit MobileNet"):
        prepare_conv_base(spec, tmp_path)
