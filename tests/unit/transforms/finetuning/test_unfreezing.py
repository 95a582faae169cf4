"""Unfreezing: which weights of a base training may change, and that no others do."""

import math
from pathlib import Path

import keras
import numpy as np
import pytest

from schemas.classifiers import FineTuning
from schemas.errors import InvalidRecipe
from schemas.spec import FeatureSpec
from transforms.export import find_application
from transforms.finetuning import TrainableNetwork, open_network, unfreeze
from transforms.finetuning.fit import build_optimizer
from transforms.finetuning.unfreezing import compute_in_mixed_precision
from transforms.origins import build_conv_base

SMALL_SPEC = FeatureSpec(
    "MobileNet", {"alpha": 0.25}, weights="none", input_shape=(32, 32, 3), layers=("conv_pw_3_relu",)
)


def network_on(spec: FeatureSpec, folder: Path) -> TrainableNetwork:
    """A head of two dense layers, with dropout, on a base with random weights."""
    base = build_conv_base(spec)
    features = keras.Input(base.output_shape[1:])
    hidden = keras.layers.Dropout(0.5)(keras.layers.Dense(4)(keras.layers.Flatten()(features)))
    head = keras.Model(features, keras.layers.Dense(1, "sigmoid")(hidden), name="classifier")
    keras.Model(base.inputs, head(base.outputs[0]), name="end_to_end").save(folder / "end_to_end.keras")
    return open_network(folder / "end_to_end.keras")


@pytest.fixture(scope="module")
def vgg16(tmp_path_factory: pytest.TempPathFactory) -> TrainableNetwork:
    """VGG16 as in the book."""
    spec = FeatureSpec("VGG16", weights="none", input_shape=(150, 150, 3), pooling="none")
    return network_on(spec, tmp_path_factory.mktemp("vgg16"))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mobilenet")
    network_on(SMALL_SPEC, folder)
    return folder / "end_to_end.keras"


@pytest.fixture
def mobilenet(saved: Path) -> TrainableNetwork:
    return open_network(saved)


def test_block5_of_vgg16_is_released_as_in_the_book(vgg16: TrainableNetwork) -> None:
    unfreeze(vgg16, "block5_conv1")
    assert vgg16.trainable_parameters == (7_079_424, (4 * 4 * 512 + 1) * 4 + 5)
    assert sum(int(np.prod(v.shape)) for v in vgg16.model.trainable_variables) == sum(vgg16.trainable_parameters)
    unfreeze(vgg16, "block5_conv3")
    assert vgg16.trainable_parameters[0] == 2_359_808


def test_an_unknown_layer_and_one_with_nothing_after_it_are_refused(vgg16: TrainableNetwork) -> None:
    with pytest.raises(InvalidRecipe, match="vgg16 has no layer 'blok5_conv1'; did you mean 'block5_conv1'") as caught:
        unfreeze(vgg16, "blok5_conv1")
    assert caught.value.exit_code == 2
    with pytest.raises(InvalidRecipe, match="has nothing to train from the layer 'block5_pool' on"):
        unfreeze(vgg16, "block5_pool")


def test_training_changes_what_was_released_and_nothing_else(mobilenet: TrainableNetwork) -> None:
    unfreeze(mobilenet, "conv_dw_3")
    assert mobilenet.trainable_parameters[0] == 9 * 32 + 32 * 32
    mobilenet.model.compile(keras.optimizers.RMSprop(0.01), "binary_crossentropy")
    before = values_of(mobilenet.base)
    pixels = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), np.uint8)
    mobilenet.model.fit(pixels, np.arange(8) % 2, epochs=2, verbose=0)
    after = values_of(mobilenet.base)
    changed = {name for name, values in before.items() if (values != after[name]).any()}
    assert {name.partition("/")[0] for name in changed} == {"conv_dw_3", "conv_pw_3"}
    assert not [name for name in changed if "bn" in name]


def values_of(base: keras.Model) -> dict[str, np.ndarray]:
    return {
        f"{layer.name}/{number}": values.copy()
        for layer in find_application(base).layers
        for number, values in enumerate(layer.get_weights())
    }


def test_the_base_is_in_inference_mode_while_the_head_is_not(mobilenet: TrainableNetwork) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), np.uint8)
    scores = [np.array(mobilenet.model(pixels, training=True)) for _ in range(2)]
    assert (scores[0] != scores[1]).any()  # The head's dropout is on.
    mobilenet.head.layers[-2].rate = 0
    np.testing.assert_array_equal(mobilenet.model(pixels, training=True), mobilenet.model(pixels))


def test_mixed_precision_keeps_float32_weights_and_can_be_undone(mobilenet: TrainableNetwork) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), np.uint8)
    exact = np.array(mobilenet.base(pixels))
    compute_in_mixed_precision(mobilenet, mixed=True)
    mixed = np.array(mobilenet.base(pixels), np.float32)
    assert (mixed != exact).any()
    np.testing.assert_allclose(mixed, exact, atol=0.05 * np.abs(exact).max())
    assert {variable.dtype for variable in mobilenet.model.trainable_variables} == {"float32"}
    compute_in_mixed_precision(mobilenet, mixed=False)
    np.testing.assert_array_equal(mobilenet.base(pixels), exact)


@pytest.mark.parametrize(
    ("warmup_epochs", "decay", "rates"),
    [
        (0, "none", {0: 1, 5: 1, 39: 1}),
        (2, "none", {0: 0, 10: 0.5, 20: 1, 39: 1}),
        (0, "cosine", {0: 1, 20: 0.5, 40: 0}),
        (2, "cosine", {0: 0, 10: 0.5, 20: 1, 30: 0.5, 40: 0}),
    ],
)
def test_the_learning_rate_rises_and_falls(warmup_epochs: int, decay: str, rates: dict[int, float]) -> None:
    how = FineTuning("layer", learning_rate=1e-3, warmup_epochs=warmup_epochs, decay=decay, epochs=4)
    optimizer = build_optimizer(how, updates=10)
    for update, rate in rates.items():
        optimizer.iterations.assign(update)
        assert float(optimizer.learning_rate) == pytest.approx(rate * 1e-3, abs=1e-9)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"learning_rate": 0.0}, "learning_rate is 0.0; it must be above 0"),
        ({"learning_rate": math.inf}, "learning_rate is inf; it must be above 0 and finite"),
        ({"warmup_epochs": 5, "epochs": 5}, "warmup_epochs is 5; it must be at least 0 and below the 5 epochs"),
        ({"decay": "linear"}, "decay 'linear' is not one of none, cosine"),
        ({"patience": -1}, "patience is -1; it must be 0 or more"),
    ],
)
def test_values_with_which_nothing_can_be_trained_are_refused(fields: dict[str, object], sentence: str) -> None:
    with pytest.raises(InvalidRecipe, match=sentence):
        FineTuning("layer", **fields)
