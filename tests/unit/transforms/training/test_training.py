"""Training: heads of every kind learn, held or streamed, and the same seed gives the same weights."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from schemas.classifiers import (
    LabelKind,
    LabelSet,
    Recipe,
    Split,
    SplitFractions,
    SweptField,
    combinations,
    parse_field,
)
from schemas.classifiers.recipes import BOOK, DROPOUT
from schemas.errors import InvalidFeatures, InvalidRecipe, RunFailed
from schemas.store import FeatureStore
from tests.conftest import clusters, store_of_features
from transforms.evaluation import Evaluation, evaluate
from transforms.linear import RunningMoments, reduced_maps
from transforms.training import (
    Fitted,
    SplitBy,
    TrainingData,
    class_weights,
    fit_all,
    predict_split,
    read_labelled_images,
)
from transforms.training.feature_rows import FeatureRows, SplitRows
from transforms.training.fit import as_tensor, fit_head
from transforms.training.heads import build_head

PLENTY = 10**9
RECIPE = Recipe()
PETS = ("cat", "cow", "dog")


def read(
    store: FeatureStore, recipe: Recipe = RECIPE, column: str = "label", memory_bytes: int = PLENTY
) -> TrainingData:
    scan = store.scan(["uri", "sha256", "split", column])
    images = read_labelled_images(scan, column, SplitBy.AUTO, SplitFractions(), None)
    return TrainingData.read(
        store, "features", store.features().version(), images,
        map_reductions=[recipe.map_reduction], memory_bytes=memory_bytes,
    )  # fmt: skip


def fit(
    store: FeatureStore, recipe: Recipe, column: str = "label", memory_bytes: int = PLENTY
) -> tuple[Fitted, Evaluation]:
    data = read(store, recipe, column, memory_bytes)
    fitted = fit_head(recipe, data)
    return fitted, evaluate(fitted, data)


def pets(folder: Path, counts: Sequence[int], distance: float = 2.5, seed: int = 0) -> FeatureStore:
    features, classes = clusters(counts, distance=distance, seed=seed)
    return store_of_features(folder, features, label=[PETS[index] for index in classes])


def recalls(evaluation: Evaluation) -> dict[str, float]:
    metrics = evaluation.by_split[Split.TEST]
    assert metrics is not None
    return {row.name: row.recall for row in metrics.classes}


def test_two_classes_are_learned_by_one_sigmoid(tmp_path: Path) -> None:
    fitted, evaluation = fit(pets(tmp_path / "store", (500, 500)), Recipe(epochs=20))
    assert evaluation.labels.kind == LabelKind.BINARY
    assert fitted.head.output_shape == (None, 1)
    assert evaluation.summary()["test_accuracy"] > 0.93
    assert evaluation.summary()["test_auc"] > 0.98


def test_three_classes_of_one_to_ten_to_a_hundred_are_learned(tmp_path: Path) -> None:
    """Balanced weights find the rare class, which weighing all images the same nearly gives up."""
    store = pets(tmp_path / "store", (60, 600, 6000), distance=2.2, seed=3)
    found = {
        weights: recalls(fit(store, Recipe(class_weight=weights, epochs=15))[1]) for weights in ("none", "balanced")
    }
    assert min(found["balanced"].values()) > 0.7
    assert found["balanced"]["cat"] > found["none"]["cat"] + 0.1


def test_several_labels_are_learned_each_for_itself(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    present = rng.random((1500, 3)) < [0.5, 0.3, 0.1]
    features = present @ (3 * rng.normal(size=(3, 16))) + rng.normal(size=(1500, 16))
    tags = [[name for name, there in zip("xyz", row, strict=True) if there] for row in present]
    _, evaluation = fit(store_of_features(tmp_path / "store", features, tags=tags), Recipe(epochs=30), "tags")
    assert evaluation.labels.kind == LabelKind.MULTI_LABEL
    assert evaluation.judged.confusion is None
    assert evaluation.summary()["test_accuracy"] > 0.95
    assert min(recalls(evaluation).values()) > 0.8


@pytest.mark.parametrize("map_reduction", ["flatten", "avg", "max"])
def test_feature_maps_are_reduced_in_the_head(map_reduction: str, tmp_path: Path) -> None:
    """The classes differ in where a channel is bright for `flatten`, else in how bright it is."""
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 2, 600)
    maps = rng.random((600, 4, 3, 5)).astype(np.float32)
    if map_reduction == "flatten":
        maps[np.arange(600), classes * 3, 0, 2] += 2
    else:
        maps[:, 1, 1, 2] += 3 * classes
    store = store_of_features(tmp_path / "store", maps, label=[PETS[index] for index in classes])
    fitted, evaluation = fit(store, Recipe(map_reduction=map_reduction, epochs=30))
    assert fitted.head.input_shape == (None, 4, 3, 5)
    assert fitted.head.get_layer("probabilities").input.shape[-1] == (60 if map_reduction == "flatten" else 5)
    assert evaluation.summary()["test_accuracy"] > 0.9


def test_the_book_s_recipe_builds_the_book_s_head() -> None:
    labels = LabelSet(LabelKind.BINARY, ("cat", "dog"))
    head = build_head(BOOK, (4, 4, 512), labels, None)
    # Dense(256, input_dim=4 * 4 * 512) and Dense(1): the book prints these counts.
    assert head.count_params() == 8192 * 256 + 256 + 256 + 1
    dense, dropout = head.get_layer("hidden_1"), head.get_layer("dropout_1")
    assert (dense.activation.__name__, dropout.rate) == ("relu", 0.5)
    assert head.get_layer("probabilities").activation.__name__ == "sigmoid"
    assert (BOOK.optimizer, BOOK.learning_rate, BOOK.batch_size, BOOK.epochs) == ("rmsprop", 2e-5, 20, 30)


def test_the_same_seed_gives_the_same_weights(tmp_path: Path) -> None:
    store = pets(tmp_path / "store", (100, 100, 100), distance=1.5)
    recipe = Recipe(hidden=(8,), epochs=4, patience=0)
    first, again, other = (fit(store, each) for each in (recipe, recipe, Recipe(**{**vars(recipe), "seed": 1})))
    assert first[0].history == again[0].history
    assert first[1].to_dict() == again[1].to_dict()
    assert first[0].history != other[0].history


def test_the_best_weights_are_kept(tmp_path: Path) -> None:
    """A rate so high that later epochs are worse than the best."""
    store = pets(tmp_path / "store", (100, 100, 100), distance=1.5)
    data = read(store)
    fitted = fit_head(Recipe(learning_rate=0.3, hidden=(16,), epochs=30, patience=3), data)
    losses = fitted.history["val_loss"]
    assert fitted.validation_loss == min(losses) < losses[-1]
    assert len(losses) == fitted.best_epoch + 3
    scores = predict_split(fitted.head, data.rows.validation)
    targets = data.images.targets[data.rows.validation.numbers]
    assert np.mean(scores.argmax(axis=1) == targets) == pytest.approx(fitted.validation_accuracy)


def test_standardisation_makes_the_scale_of_features_irrelevant(tmp_path: Path) -> None:
    features, classes = clusters((200, 200))
    names = [PETS[index] for index in classes]
    stores = [
        store_of_features(tmp_path / str(scale), features * scale + shift, label=names)
        for scale, shift in ((1.0, 0.0), (1e-3, 0.01), (100.0, -50.0))
    ]
    found = [fit(store, Recipe(epochs=10))[1].summary()["validation_log_loss"] for store in stores]
    np.testing.assert_allclose(found, found[0], rtol=1e-3)


def test_training_that_diverges_fails_in_a_sentence(tmp_path: Path) -> None:
    recipe = Recipe(hidden=(8,), optimizer="sgd", learning_rate=1e30, epochs=3)
    with pytest.raises(RunFailed, match=r"The training diverged: the loss is not finite with the learning rate 1e\+30"):
        fit(pets(tmp_path / "store", (50, 50)), recipe)


def test_moments_are_learned_in_one_pass_over_the_training_part(tmp_path: Path) -> None:
    features, classes = clusters((700, 700))
    data = read(store_of_features(tmp_path / "store", features, label=[PETS[index] for index in classes]))
    split = features[data.images.splits == Split.TRAIN]
    moments = data.moments["avg"]
    np.testing.assert_allclose(moments.mean, split.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(moments.deviation, split.std(axis=0), rtol=1e-5)
    running = RunningMoments("flatten")
    running.add(np.ones((10, 4), np.float32))
    np.testing.assert_array_equal(running.moments().deviation, np.ones(4))  # Nothing moves: nothing is divided by 0.
    tiny = RunningMoments("flatten")
    tiny.add(np.float32([[0], [1e-25]]))
    assert tiny.moments().deviation.tolist() == [1]
    huge = RunningMoments("flatten")
    huge.add(np.float32([[0], [1e25]]))  # Keras's head would divide by the root of infinity.
    with pytest.raises(InvalidFeatures, match=r"a standard deviation of up to 5e\+24, and no classifier"):
        huge.moments()
    assert reduced_maps(np.ones((2, 3, 3, 5)), "avg").shape == (2, 5)


def test_balanced_weights_make_classes_count_the_same(tmp_path: Path) -> None:
    images = read(pets(tmp_path / "store", (50, 200, 400))).images
    assert class_weights("none", images) is None
    weights = class_weights("balanced", images)
    counts = images.class_counts(Split.TRAIN)
    np.testing.assert_allclose(weights * counts, np.full(3, counts.sum() / 3), rtol=1e-6)


@pytest.mark.parametrize("memory_bytes", [PLENTY, 400_000], ids=["held", "streamed"])
@pytest.mark.parametrize("batch_size", [7, 64, 100_000])
def test_batches_hold_every_image_of_a_part_once(memory_bytes: int, batch_size: int, tmp_path: Path) -> None:
    rows = many_row_groups(tmp_path / "store", 4000)
    numbers = np.flatnonzero(np.arange(4000) % 3 == 0)
    held = None if memory_bytes < PLENTY else np.concatenate([rows.read(group) for group in range(4)])[numbers]
    split = SplitRows(rows, numbers, memory_bytes // 8, held)
    for shuffling in (None, np.random.default_rng(0)):
        batches = list(split.batches(batch_size, shuffling))
        assert [len(found) for _, found in batches[:-1]] == [batch_size] * (len(batches) - 1)
        order = np.concatenate([found for _, found in batches])
        assert sorted(order) == numbers.tolist()
        assert (order.tolist() == numbers.tolist()) == (shuffling is None)
        for features, found in batches:
            np.testing.assert_array_equal(features[:, 0], found)  # The first feature is the row's number.


@pytest.mark.parametrize("batch_size", [7, 100_000])
def test_the_places_of_a_split_that_is_held_are_those_of_its_batches(batch_size: int, tmp_path: Path) -> None:
    split = read(pets(tmp_path / "store", (50, 60))).rows.train
    assert split.held is not None
    for shuffled in (False, True):
        batches, places = (
            list(parts(batch_size, np.random.default_rng(5) if shuffled else None))
            for parts in (split.batches, split.places)
        )
        assert len(batches) == len(places)
        for (features, numbers), (found, same_numbers) in zip(batches, places, strict=True):
            np.testing.assert_array_equal(split.held[found], features)
            np.testing.assert_array_equal(same_numbers, numbers)


def test_tensorflow_takes_features_that_are_held_without_a_copy(tmp_path: Path) -> None:
    whole = read(pets(tmp_path / "store", (50, 60))).rows.train
    for split in (whole, whole.take(np.arange(1, len(whole), 2))):
        assert split.held is not None
        tensor = as_tensor(split.held)
        np.testing.assert_array_equal(tensor.numpy(), split.held)
        split.held[0] = 7
        assert (tensor[0].numpy() == 7).all()
    elsewhere = np.zeros(20, np.float32)[1:]
    assert elsewhere.ctypes.data % 64
    copied = as_tensor(elsewhere)
    elsewhere[0] = 7
    assert copied[0].numpy() == 0


def test_each_epoch_is_shuffled_anew(tmp_path: Path) -> None:
    split = SplitRows(many_row_groups(tmp_path / "store", 4000), np.arange(4000), 1)
    shuffling = np.random.default_rng(0)
    epochs = [np.concatenate([found for _, found in split.batches(64, shuffling)]) for _ in range(4)]
    assert len({tuple(order) for order in epochs}) == 4
    # A window is a single row group here, and these come in another order as well.
    groups = np.searchsorted(split.rows.starts, epochs, "right")
    assert len({tuple(order) for order in groups}) > 1


class Echo:
    """A model that says the first number of each feature, and that counts the batches which it was given."""

    output_shape = (None, 1)

    def __init__(self) -> None:
        self.batches = 0

    def predict_on_batch(self, features: np.ndarray) -> np.ndarray:
        self.batches += 1
        return features[:, :1]


def test_predictions_are_in_order_and_no_batch_is_read_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    split = SplitRows(many_row_groups(tmp_path / "store", 4000), np.arange(4000)[1::2], 1)
    model, batches, ahead = Echo(), SplitRows.batches, []

    def counted(rows: SplitRows, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for given, batch in enumerate(batches(rows, size)):
            ahead.append(given - model.batches)
            yield batch

    monkeypatch.setattr(SplitRows, "batches", counted)
    assert predict_split(model, split)[:, 0].tolist() == split.numbers.tolist()
    assert model.batches == len(ahead) == 2
    assert set(ahead) == {0}
    assert predict_split(model, split.take(np.empty(0, np.int64))).shape == (0, 1)


def many_row_groups(folder: Path, images: int) -> FeatureRows:
    """Features of 20 kB, of which a row group holds some 800."""
    features = np.zeros((images, 5000), np.float32)
    features[:, 0] = np.arange(images)
    rows = FeatureRows.of(store_of_features(folder, features).scan(), "features")
    assert len(rows.groups) == 4
    return rows


def test_features_that_are_not_finite_are_refused_with_their_number_and_place(tmp_path: Path) -> None:
    features, classes = clusters((20, 20))
    features[3, 0], features[5, 1], features[6, 2], features[9, 3] = np.nan, np.inf, -np.inf, np.nan
    labels = [PETS[index] for index in classes]
    labels[9] = None  # An image that nobody learns from does not matter.
    store = store_of_features(tmp_path / "store", features, label=labels)
    with pytest.raises(InvalidFeatures) as caught:
        read(store)
    assert str(caught.value) == (
        "3 of 39 rows have NaN or infinite features in the column 'features': "
        "file:///image-3, file:///image-5, file:///image-6."
    )


def test_a_sweep_tries_every_combination_and_keeps_the_best(tmp_path: Path) -> None:
    swept = [SweptField.parse("hidden=0,8+4"), SweptField.parse("learning_rate=0.00001,0.01")]
    recipes = combinations(Recipe(epochs=3), swept)
    assert [(recipe.hidden, recipe.learning_rate) for recipe in recipes] == [
        ((), 1e-5), ((), 0.01), ((8, 4), 1e-5), ((8, 4), 0.01)
    ]  # fmt: skip
    seen = []
    data = read(pets(tmp_path / "store", (100, 100, 100)), Recipe())
    best, _, trials = fit_all(["features"], recipes, lambda _: data, seen.append)
    assert len(seen) == len(trials) == 4
    assert best.recipe == trials[0].recipe
    accuracies = [trial.validation_accuracy for trial in trials]
    assert accuracies == sorted(accuracies, reverse=True)
    assert best.recipe.learning_rate == 0.01


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("hidden", "256", (256,)),
        ("hidden", "0", ()),
        ("hidden", "64+32", (64, 32)),
        ("dropout", "0.2", 0.2),
        ("standardise", "False", False),
        ("batch_size", "20", 20),
        ("learning_rate", "1e-3", 1e-3),
        ("optimizer", "sgd", "sgd"),
        ("l2", "0", 0.0),
        ("epochs", "7", 7),
    ],
)
def test_fields_of_a_recipe_are_read_from_their_text(name: str, text: str, value: object) -> None:
    assert parse_field(name, text) == value


@pytest.mark.parametrize(
    ("sweep", "sentence"),
    [
        ("hiden=1", "A recipe has no field 'hiden'; did you mean 'hidden'?"),
        ("dropout", "'dropout' has no value"),
        ("dropout=x", "'x' is no value of dropout"),
        ("dropout=1", "dropout is 1.0; it must be at least 0 and below 1"),
        ("optimizer=adm", "optimizer 'adm' is not one of lbfgs, adam"),
        ("dropout=many", "'many' is no value of dropout"),
        ("hidden=-3", "hidden is -3; it must be layers of one unit or more"),
        ("epochs=0", "epochs is 0; it must be 1 or more"),
        ("l2=inf", "l2 is inf; it must be at least 0 and finite"),
        ("l2=nan", "l2 is nan; it must be at least 0 and finite"),
        ("learning_rate=inf", "learning_rate is inf; it must be above 0 and finite"),
    ],
)
def test_sweeps_over_what_is_no_recipe_are_refused(sweep: str, sentence: str) -> None:
    with pytest.raises(InvalidRecipe, match=sentence):
        combinations(Recipe(), [SweptField.parse(sweep)])


@pytest.mark.parametrize(
    ("recipe", "is_probe", "differences"),
    [
        (Recipe(), True, {"optimizer": "lbfgs"}),
        (Recipe(optimizer="lbfgs", dropout=0.0), True, {}),
        (Recipe(l2=0.1, class_weight="balanced", seed=7), True, {"optimizer": "lbfgs"}),
        (DROPOUT, False, {}),
        (BOOK, False, {}),
        (
            Recipe(hidden=(64,)),
            False,
            {"dropout": 0.5, "l2": 1e-4, "optimizer": "adam", "epochs": 100, "patience": 8},
        ),
        (Recipe(patience=0), False, {"dropout": 0.5, "l2": 1e-4, "optimizer": "adam", "epochs": 100}),
        (Recipe(optimizer="sgd", dropout=0.0), False, {"l2": 1e-4, "epochs": 100, "patience": 8}),
    ],
)
def test_what_belongs_to_a_training_in_epochs_makes_it_one(
    recipe: Recipe, is_probe: bool, differences: dict[str, object]
) -> None:
    assert recipe.is_probe == is_probe
    assert recipe.resolved() == dataclasses.replace(recipe, **differences)
    assert recipe.resolved().is_probe == is_probe


@pytest.mark.parametrize(
    "field", [{"hidden": (8,)}, {"dropout": 0.1}, {"learning_rate": 0.1}, {"epochs": 3}, {"patience": 0}]
)
def test_l_bfgs_does_nothing_in_epochs(field: dict[str, object]) -> None:
    with pytest.raises(InvalidRecipe, match=f"{next(iter(field))} belongs to a training in epochs"):
        Recipe(optimizer="lbfgs", **field)


def test_a_sweep_compares_the_probe_with_hidden_layers(tmp_path: Path) -> None:
    recipes = [Recipe(), Recipe(hidden=(4,), epochs=2)]
    data = read(pets(tmp_path / "store", (600, 600)))
    _, _, trials = fit_all(["features"], recipes, lambda _: data, lambda _: None)
    assert {(trial.recipe.hidden, trial.recipe.optimizer) for trial in trials} == {((), "lbfgs"), ((4,), "adam")}
    for trial in trials:
        assert np.mean(trial.right) == pytest.approx(trial.validation_accuracy, abs=0.02)


def test_of_several_layers_the_best_is_kept_and_its_features_are_there(tmp_path: Path) -> None:
    """They are read once each, and those of the best again if they were not the last."""
    data = {
        name: dataclasses.replace(read(pets(tmp_path / name, (600, 600), distance)), layer=name)
        for name, distance in (("far", 4.0), ("near", 1.0))
    }
    read_layers = []

    def read_again(layer: str) -> TrainingData:
        read_layers.append(layer)
        return data[layer]

    best, found, trials = fit_all(["far", "near"], [Recipe()], read_again, lambda _: None)
    assert read_layers == ["far", "near", "far"]
    assert [trial.layer for trial in trials] == ["far", "near"]
    assert found.layer == "far"
    assert best.validation_accuracy == trials[0].validation_accuracy > trials[1].validation_accuracy
