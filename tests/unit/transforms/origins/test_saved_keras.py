"""`.keras` files that others have saved: their features are those of Keras, and no code in them runs."""

import sys
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from schemas.errors import ConvbaseError
from schemas.spec import FeatureSpec
from tests.unit.transforms.conv_bases.test_conv_bases import POOLINGS, assert_equal, pictures
from transforms.conv_bases import OpenVINOEngine, summarise_conv_base
from transforms.conv_bases.publishing import prepare_conv_base
from transforms.networks import load_keras_model

SIDE = 48


def spec_of(path: Path, **fields: Any) -> FeatureSpec:
    return FeatureSpec(path.name, weights=str(path), **{"preprocess": "scale_1", **fields})


def published(spec: FeatureSpec, folder: Path, pixels: np.ndarray) -> tuple[FeatureSpec, list[np.ndarray]]:
    """The resolved spec, and what its base makes of pictures."""
    (folder / "base").mkdir()
    prepared = prepare_conv_base(spec, folder / "base")
    return prepared.spec, OpenVINOEngine(prepared.publish(str(folder / "store")), len(pixels)).submit(pixels).result()


def small_network(shape: tuple[int | None, ...] = (SIDE, SIDE, 3), **first: Any) -> keras.Model:
    """A network as people make them: blocks of several kinds, and a classifier on top."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(2)
    layers = keras.layers
    inputs = keras.Input(shape)
    x = layers.Conv2D(8, 3, strides=2, padding="same", name="stem", **first)(inputs)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.Activation("gelu", name="gelu")(x)
    shortcut = x
    x = layers.SeparableConv2D(8, 3, padding="same", activation="swish", name="separable")(x)
    x = layers.Add(name="added")([x, shortcut])
    x = layers.Dropout(0.5)(x)
    x = layers.GlobalAveragePooling2D(name="pooled")(x)
    return keras.Model(inputs, layers.Dense(4, activation="softmax", name="classes")(x), name="mine")


def outputs(model: keras.Model, names: list[str], values: np.ndarray) -> list[np.ndarray]:
    found = keras.Model(model.inputs, [model.get_layer(name).output for name in names])(values, training=False)
    return [np.asarray(value) for value in (found if isinstance(found, list) else [found])]


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_keras_file_gives_what_keras_gives(pooling: str, tmp_path: Path) -> None:
    model = small_network()
    model.save(tmp_path / "mine.keras")
    names = ["gelu", "added", "classes"]
    values = pictures(SIDE).astype(np.float32) / np.float32(255)
    spec, found = published(
        spec_of(tmp_path / "mine.keras", layers=(*names,), pooling=pooling), tmp_path, pictures(SIDE)
    )
    assert (spec.input_shape, spec.is_keras) == ((SIDE, SIDE, 3), True)
    for ours, theirs in zip(found, outputs(model, names, values), strict=True):
        assert_equal(ours, POOLINGS[pooling](theirs) if theirs.ndim == 4 else theirs)


def test_pictures_of_any_size_are_those_of_the_input_shape(tmp_path: Path) -> None:
    model = small_network((None, None, 3))
    model.save(tmp_path / "mine.keras")
    with pytest.raises(ConvbaseError, match=r"mine\.keras takes pictures of any size: give --input_shape=H,W,3"):
        prepare_conv_base(spec_of(tmp_path / "mine.keras"), tmp_path)
    spec = spec_of(tmp_path / "mine.keras", layers=("added",), pooling="none", input_shape=(SIDE, SIDE, 3))
    spec, (found,) = published(spec, tmp_path, pictures(SIDE))
    (expected,) = outputs(model, ["added"], pictures(SIDE).astype(np.float32) / np.float32(255))
    assert spec.feature_shapes == ((24, 24, 8),)
    assert_equal(found, expected.reshape(4, -1))


def test_a_network_in_a_network_has_its_layers_too(tmp_path: Path) -> None:
    """Keras's guide to transfer learning: rescaling, a base, a head. Its input then says what it expects of pixels."""
    base = keras.applications.MobileNet(include_top=False, weights=None, input_shape=(SIDE, SIDE, 3), alpha=0.25)
    inputs = keras.Input((SIDE, SIDE, 3))
    x = base(keras.layers.Rescaling(1 / 127.5, offset=-1)(inputs), training=False)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, keras.layers.Dense(1, name="dog")(x))
    model.save(tmp_path / "mine.keras")
    spec = spec_of(tmp_path / "mine.keras", preprocess=None, layers=(f"{base.name}/conv_pw_3_relu", base.name, "dog"))
    assert f"{base.name}/conv_pw_3_relu" in summarise_conv_base(spec)
    spec, found = published(spec, tmp_path, pictures(SIDE))
    assert spec.preprocess == "none"
    values = pictures(SIDE).astype(np.float32)
    inner, last = outputs(base, ["conv_pw_3_relu", base.layers[-1].name], values / np.float32(127.5) - 1)
    for ours, theirs in zip(found, [inner.mean((1, 2)), last.mean((1, 2)), np.asarray(model(values))], strict=True):
        assert_equal(ours, theirs)


def test_a_sequence_of_layers_of_grey_pictures(tmp_path: Path) -> None:
    from PIL import Image

    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((28, 28, 1)), layers.Conv2D(4, 3, activation="relu"), layers.MaxPooling2D(name="pool"),
         layers.Flatten(name="flat"), layers.Dense(10, name="digits")]
    )  # fmt: skip
    model.save(tmp_path / "mine.keras")
    spec = spec_of(tmp_path / "mine.keras", preprocess="mean=0.1307,std=0.3081", layers=("pool", "digits"))
    spec, found = published(spec, tmp_path, pictures(28))
    grey = np.stack([np.asarray(Image.fromarray(picture).convert("L")) for picture in pictures(28)])[..., None]
    pool, digits = outputs(model, ["pool", "digits"], (grey.astype(np.float32) / 255 - 0.1307) / 0.3081)
    assert (spec.input_shape, spec.feature_shapes) == ((28, 28, 3), ((4,), (10,)))
    assert_equal(found[0], pool.mean((1, 2)))
    assert_equal(found[1], digits)


def test_channels_first(tmp_path: Path) -> None:
    """TensorFlow has no such convolutions on a CPU, so the same network with its channels last says what is right."""
    keras.utils.clear_session()
    networks = {}
    for order, shape in (("channels_first", (3, SIDE, SIDE)), ("channels_last", (SIDE, SIDE, 3))):
        inputs = keras.Input(shape)
        x = keras.layers.Conv2D(5, 3, data_format=order, name="conv")(inputs)
        networks[order] = keras.Model(inputs, keras.layers.ReLU(name="relu")(x))
    networks["channels_last"].set_weights(networks["channels_first"].get_weights())
    networks["channels_first"].save(tmp_path / "mine.keras")
    (expected,) = outputs(networks["channels_last"], ["conv"], pictures(SIDE).astype(np.float32) / np.float32(255))
    for pooling, pool in POOLINGS.items():
        folder = tmp_path / pooling
        folder.mkdir()
        spec = spec_of(tmp_path / "mine.keras", layers=("conv",), pooling=pooling)
        assert_equal(published(spec, folder, pictures(SIDE))[1][0], pool(expected))
    assert "(46, 46, 5)" in summarise_conv_base(spec)


def test_a_backbone_of_keras_hub(tmp_path: Path) -> None:
    hub = pytest.importorskip("keras_hub", reason="needs the extra keras-hub")
    keras.utils.set_random_seed(0)
    model = hub.models.ResNetBackbone(
        input_conv_filters=[64], input_conv_kernel_sizes=[7], stackwise_num_filters=[64, 128],
        stackwise_num_blocks=[1, 1], stackwise_num_strides=[1, 2], block_type="basic_block", image_shape=(48, 48, 3),
    )  # fmt: skip
    model.save(tmp_path / "mine.keras")
    spec = spec_of(tmp_path / "mine.keras", preprocess="mean=0.5,std=0.5")
    _, (found,) = published(spec, tmp_path, pictures(48))
    expected = np.asarray(model(pictures(48).astype(np.float32) / np.float32(127.5) - 1))
    assert_equal(found, expected.mean((1, 2)))


def test_a_network_that_mixes_a_batch_is_refused(tmp_path: Path) -> None:
    inputs = keras.Input((32, 32, 3))
    mixed = inputs - keras.ops.mean(inputs, axis=0, keepdims=True)
    keras.Model(inputs, keras.layers.Conv2D(2, 3)(mixed)).save(tmp_path / "mine.keras")
    with pytest.raises(ConvbaseError, match=r"mine\.keras computes a picture otherwise when others are in its batch"):
        prepare_conv_base(spec_of(tmp_path / "mine.keras"), tmp_path)


def test_what_is_missing_for_a_file_of_keras_hub_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    with zipfile.ZipFile(tmp_path / "mine.keras", "w") as made:
        made.writestr("config.json", '{"registered_name": "keras_hub>ViTBackbone"}')
    with pytest.raises(ConvbaseError, match=r"mine\.keras needs Keras Hub, .* install the extra keras-hub"):
        load_keras_model(tmp_path / "mine.keras")


@keras.saving.register_keras_serializable("tests")
class OfNobody(keras.layers.Layer):  # type: ignore[misc]
    def call(self, inputs: Any) -> Any:
        return inputs


def put_lambda(path: Path) -> None:
    """A layer whose code makes a file beside the model."""
    code = f"(lambda path: lambda x: [x, open(path, 'w').close()][0])({str(path.with_name('ran'))!r})"
    inputs = keras.Input((32, 32, 3))
    keras.Model(inputs, keras.layers.Lambda(eval(code))(inputs)).save(path)
    path.with_name("ran").unlink()


def put_class(path: Path) -> None:
    inputs = keras.Input((32, 32, 3))
    keras.Model(inputs, OfNobody()(inputs)).save(path)


def put_two_inputs(path: Path) -> None:
    inputs = [keras.Input((32, 32, 3)), keras.Input((4,))]
    keras.Model(inputs, keras.layers.Flatten()(inputs[0])).save(path)


def put_vectors(path: Path) -> None:
    inputs = keras.Input((10,))
    keras.Model(inputs, keras.layers.Dense(2)(inputs)).save(path)


def put_unbuilt(path: Path) -> None:
    keras.Sequential([keras.layers.Dense(2)]).save(path)


def put_without_weights(path: Path) -> None:
    small_network().save(path)
    with zipfile.ZipFile(path) as old:
        members = {name: old.read(name) for name in old.namelist() if name != "model.weights.h5"}
    with zipfile.ZipFile(path, "w") as new:
        for name, content in members.items():
            new.writestr(name, content)


REFUSED = {
    "nothing": (lambda path: path.write_bytes(b""), "mine.keras is no model that Keras opens in its safe mode"),
    "no zip": (lambda path: path.write_bytes(b"x" * 999), "mine.keras is no model that Keras opens in its safe mode"),
    "a lambda": (put_lambda, "mine.keras is no model that Keras opens in its safe mode"),
    "a class of its own": (put_class, "mine.keras is no model that Keras opens in its safe mode"),
    "no weights": (put_without_weights, "mine.keras is no model that Keras opens in its safe mode"),
    "two inputs": (put_two_inputs, "a conv base takes pictures and nothing else"),
    "vectors": (put_vectors, "mine.keras takes [?, 10]; a conv base takes pictures and nothing else"),
    "no shape": (put_unbuilt, "mine.keras has no input shape"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_such_network_is_refused_by_a_sentence(case: str, tmp_path: Path) -> None:
    put, sentence = REFUSED[case]
    put(tmp_path / "mine.keras")
    with pytest.raises(ConvbaseError) as raised:
        prepare_conv_base(spec_of(tmp_path / "mine.keras"), tmp_path)
    assert sentence in str(raised.value)
    assert raised.value.exit_code == 2
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "ran").exists()


def test_what_a_file_does_not_say_has_to_be_given(tmp_path: Path) -> None:
    small_network().save(tmp_path / "mine.keras")
    with pytest.raises(ConvbaseError, match=r"mine\.keras does not say what it expects of pixels: give --preprocess"):
        prepare_conv_base(spec_of(tmp_path / "mine.keras", preprocess=None), tmp_path)
