"""The linear probe: as good as the best of scikit-learn's, the same held or streamed, by folds where rows are few."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from schemas.classifiers import LabelKind, LabelSet, Recipe, Split, SplitFractions
from schemas.errors import InvalidRecipe
from schemas.store import FeatureStore
from tests.conftest import clusters, store_of_features
from transforms.linear import Examples, LinearHead, Moments
from transforms.runtime import single_threaded_blas
from transforms.training import (
    Fitted,
    SplitBy,
    TrainingData,
    build_linear_head,
    fit_probe,
    predict_split,
    read_labelled_images,
)
from transforms.training.probe_rows import folded, frequencies_of, sampled

PLENTY = 10**9
PETS = ("cat", "cow", "dog")
RECIPE = Recipe()


def read(
    store: FeatureStore,
    column: str = "label",
    memory_bytes: int = PLENTY,
    fractions: SplitFractions = SplitFractions(),  # noqa: B008 - it is frozen
) -> TrainingData:
    scan = store.scan(["uri", "sha256", "split", column])
    images = read_labelled_images(scan, column, SplitBy.AUTO, fractions, None)
    return TrainingData.read(
        store, "features", store.features().version(), images, map_reductions=["avg"], memory_bytes=memory_bytes
    )


def pets(folder: Path, counts: Sequence[int], distance: float = 2.5, features: int = 16) -> FeatureStore:
    values, classes = clusters(counts, features, distance)
    # Correlated, as features of a conv base are.
    mixing = 0.2 * np.eye(features, dtype=np.float32) + np.float32(features**-0.5)
    return store_of_features(folder, values @ mixing, label=[PETS[index] for index in classes])


def split_arrays(data: TrainingData, split: Split) -> tuple[np.ndarray, np.ndarray]:
    rows = data.rows.of(split)
    return np.concatenate(list(rows.blocks())), data.images.targets[rows.numbers]


def log_loss_on(data: TrainingData, fitted: Fitted, split: Split) -> float:
    scores = data.images.labels.scores(predict_split(fitted.head, data.rows.of(split)).astype(np.float64))
    targets = data.images.targets[data.rows.of(split).numbers]
    return float(-np.log(scores[np.arange(len(targets)), targets]).mean())


@pytest.mark.parametrize("classes", [2, 3])
def test_the_probe_is_as_good_as_the_best_of_scikit_learn(classes: int, tmp_path: Path) -> None:
    """Of thirteen values of C, chosen by the same validation split."""
    data = read(pets(tmp_path / "store", (900,) * classes, distance=1.5, features=64))
    fitted = fit_probe(RECIPE, data)
    (train, train_targets), (validation, validation_targets), (test, test_targets) = (
        split_arrays(data, split) for split in (Split.TRAIN, Split.VALIDATION, Split.TEST)
    )
    mean, deviation = train.mean(axis=0), train.std(axis=0)
    with single_threaded_blas():
        peers = [
            LogisticRegression(C=c, max_iter=1000).fit((train - mean) / deviation, train_targets)
            for c in np.logspace(-6, 6, 13)
        ]
    losses = [log_loss(validation_targets, peer.predict_proba((validation - mean) / deviation)) for peer in peers]
    assert fitted.folds == 0
    assert fitted.validation_loss <= 1.01 * min(losses)
    best = peers[int(np.argmin(losses))].predict_proba((test - mean) / deviation)
    assert log_loss_on(data, fitted, Split.TEST) <= 1.02 * log_loss(test_targets, best)


def test_the_history_is_the_path_over_l2_and_the_best_of_it_is_kept(tmp_path: Path) -> None:
    data = read(pets(tmp_path / "store", (900, 900), distance=1.5))
    fitted = fit_probe(RECIPE, data)
    history = fitted.history
    assert list(history) == ["l2", "rows", "passes", "loss", "val_loss", "val_accuracy"]
    powers = np.log10(history["l2"])
    # Powers of ten until it gets worse, then a half power above and below the best of them.
    assert np.all(np.diff(powers[:-2]) == -1)
    best = int(np.argmin(history["val_loss"][:-2]))
    np.testing.assert_allclose(powers[-2:], [powers[best] + 0.5, powers[best] - 0.5])
    assert history["val_loss"][fitted.best_epoch - 1] == min(history["val_loss"]) == fitted.validation_loss
    assert fitted.recipe.l2 == history["l2"][fitted.best_epoch - 1]
    assert log_loss_on(data, fitted, Split.VALIDATION) == pytest.approx(fitted.validation_loss, rel=1e-4)
    assert fitted.epochs == sum(history["passes"])
    # A stronger penalty costs training loss.
    order = np.argsort(history["l2"])
    assert np.all(np.diff(np.array(history["loss"])[order]) > 0)


def test_held_and_streamed_give_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """40 MB in three row groups, of which 10 are allowed, and L2 chosen on a sample."""
    monkeypatch.setattr("transforms.training.probe.SAMPLE_ROWS", 500)
    store = pets(tmp_path / "store", (5000, 5000), distance=3.0, features=1000)
    held, streamed = (read(store, memory_bytes=memory) for memory in (PLENTY, 10_000_000))
    assert [len(held.rows.train.rows.groups) > 2, held.rows.streamed, streamed.rows.streamed] == [True, False, True]
    found = [fit_probe(Recipe(l2=0.01, seed=seed), data) for seed, data in enumerate((held, streamed))]
    assert found[0].history == found[1].history
    for name in ("kernel", "bias"):
        assert getattr(found[0].head, name).tobytes() == getattr(found[1].head, name).tobytes()
    assert found[0].history["rows"] == [500, len(held.rows.train)]
    assert log_loss_on(held, found[0], Split.TEST) < 0.3


def test_of_a_large_training_part_l2_is_chosen_on_a_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is fitted to all rows are the best L2 times the square root of the share of the sample, and times it."""
    monkeypatch.setattr("transforms.training.probe.SAMPLE_ROWS", 400)
    data = read(pets(tmp_path / "store", (2000, 2000), distance=1.5, features=64))
    fitted = fit_probe(RECIPE, data)
    history, rows = fitted.history, len(data.rows.train)
    assert history["rows"] == [400] * (len(history["rows"]) - 2) + [rows] * 2
    best = history["l2"][int(np.argmin(history["val_loss"][:-2]))]
    np.testing.assert_allclose(history["l2"][-2:], [best * (400 / rows) ** 0.5, best * 400 / rows])
    assert fitted.best_epoch - 1 == len(history["l2"]) - 2 + int(np.argmin(history["val_loss"][-2:]))
    assert log_loss_on(data, fitted, Split.VALIDATION) == pytest.approx(fitted.validation_loss, rel=1e-4)
    assert fitted.validation_loss < min(history["val_loss"][:-2])


@pytest.mark.parametrize(
    ("counts", "fractions"), [((60, 60, 60), SplitFractions()), ((300, 300, 300), SplitFractions(0, 0.2))]
)
def test_with_little_or_nothing_to_validate_by_folds_choose(
    counts: tuple[int, ...], fractions: SplitFractions, tmp_path: Path
) -> None:
    data = read(pets(tmp_path / "store", counts), fractions=fractions)
    data.images.check(fractions, folds=True)
    fitted = fit_probe(RECIPE, data)
    assert fitted.folds == 5
    # The last row is the fit to the whole training part.
    assert fitted.best_epoch == len(fitted.history["l2"])
    assert fitted.recipe.l2 == fitted.history["l2"][int(np.argmin(fitted.history["val_loss"]))]
    assert fitted.history["rows"] == [len(data.rows.train)] * fitted.best_epoch
    assert log_loss_on(data, fitted, Split.TEST) == pytest.approx(fitted.validation_loss, rel=0.5)


def test_an_l2_that_is_named_is_taken(tmp_path: Path) -> None:
    data = read(pets(tmp_path / "store", (900, 900)))
    fitted = fit_probe(Recipe(l2=0.02), data)
    assert fitted.history["l2"] == [0.02]
    assert fitted.recipe.l2 == 0.02


def test_several_labels_are_learned_each_for_itself(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    present = rng.random((2000, 3)) < [0.5, 0.3, 0.02]
    features = present @ (3 * rng.normal(size=(3, 16))) + rng.normal(size=(2000, 16))
    tags = [[name for name, there in zip("xyz", row, strict=True) if there] for row in present]
    data = read(store_of_features(tmp_path / "store", features, tags=tags), "tags")
    fitted = fit_probe(RECIPE, data)
    truths = data.images.targets[data.rows.test.numbers]
    scores = predict_split(fitted.head, data.rows.test)
    assert ((scores >= 0.5) == (truths == 1)).mean() > 0.97
    assert ((scores >= 0.5) & (truths == 1)).sum(axis=0).min() > 0


def test_balanced_classes_count_the_same(tmp_path: Path) -> None:
    data = read(pets(tmp_path / "store", (100, 4000), distance=2.0))
    recalls = []
    for weights in ("none", "balanced"):
        fitted = fit_probe(Recipe(class_weight=weights), data)
        rare = data.images.targets[data.rows.test.numbers] == 0
        recalls.append(float((predict_split(fitted.head, data.rows.test)[rare, 0] < 0.5).mean()))
    assert recalls[1] > recalls[0] + 0.2


@pytest.mark.parametrize("map_reduction", ["flatten", "avg", "max"])
@pytest.mark.parametrize("kind", list(LabelKind))
def test_keras_says_the_same_as_the_arrays(map_reduction: str, kind: LabelKind) -> None:
    rng = np.random.default_rng(0)
    maps = rng.normal(3, 2, (50, 2, 3, 4)).astype(np.float32)
    dimensions = 24 if map_reduction == "flatten" else 4
    labels = LabelSet(kind, PETS[:2] if kind == LabelKind.BINARY else PETS)
    moments = Moments(*(rng.random((2, dimensions)) + 1).astype(np.float32))
    kernel, bias = rng.normal(size=(dimensions, labels.outputs)), rng.normal(size=labels.outputs)
    head = LinearHead(np.zeros(0), np.zeros(0), moments, map_reduction, kind, l2=0.01).with_weights(kernel, bias)
    model = build_linear_head(head, labels, (2, 3, 4))
    np.testing.assert_allclose(model.predict(maps, verbose=0), head.predict([maps[:20], maps[20:]], 50), atol=2e-6)
    # What fine-tuning goes on with is the same objective.
    penalty = 0.01 * float((head.kernel.astype(np.float64) ** 2).sum())
    assert float(model.losses[0]) == pytest.approx(penalty, rel=1e-5)


def rows_of(targets: list[int], places: list[int]) -> Examples:
    values = np.arange(len(targets), dtype=np.float32)[:, None]
    return Examples(
        lambda: (values[:3], values[3:]),
        np.array(targets, np.int32),
        np.ones(len(targets), np.float32),
        np.array(places, np.uint64),
    )


def test_a_sample_has_the_same_share_of_each_class_and_is_always_the_same() -> None:
    targets = [0] * 80 + [1] * 20
    rows = rows_of(targets, [number * 7919 % 100 for number in range(100)])
    found = sampled(rows, 10)
    assert np.bincount(found.targets).tolist() == [8, 2]
    (taken,) = found.vectors()
    assert taken[:, 0].tolist() == sorted(taken[:, 0])
    assert [targets[int(number)] for number in taken[:, 0]] == found.targets.tolist()
    assert np.array_equal(next(iter(sampled(rows, 10).vectors())), taken)
    assert sampled(rows, 100) is rows


def test_folds_share_out_classes_and_keep_copies_together() -> None:
    """Each image has a copy; the class 2 has one image, which no fold can be judged by."""
    targets = [0, 0] * 10 + [1, 1] * 5 + [2]
    rows = rows_of(targets, [number // 2 for number in range(31)])
    folds = folded(rows, 5)
    for fitted, judged in folds:
        assert np.bincount(rows.targets[judged.weights > 0]).tolist() == [4, 2]
        assert not ((fitted.weights > 0) & (judged.weights > 0)).any()
        assert not set(rows.places[fitted.weights > 0]) & set(rows.places[judged.weights > 0])
    assert sum((fitted.weights == 0).sum() for fitted, _ in folds) == 31


def test_without_two_images_of_any_class_there_are_no_folds() -> None:
    assert folded(rows_of([0, 1, 2, 3], [1, 2, 3, 4]), 5) == []


def test_with_little_more_than_a_class_an_image_the_probe_is_fitted_all_the_same(tmp_path: Path) -> None:
    """By the validation split, however small: no fold of the training part could be judged."""
    values = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    splits = ["train"] * 3 + ["validation"] * 3 + ["test"] * 3
    data = read(store_of_features(tmp_path / "store", values, label=[*PETS] * 3, split=splits))
    fitted = fit_probe(RECIPE, data)
    assert (fitted.folds, len(data.rows.train)) == (0, 3)
    assert np.isfinite(log_loss_on(data, fitted, Split.TEST))


def test_frequencies_are_never_0() -> None:
    rows = rows_of([0, 0, 1], [1, 2, 3])
    np.testing.assert_allclose(
        frequencies_of(rows, LabelSet(LabelKind.MULTI_CLASS, PETS)), [2.5 / 4.5, 1.5 / 4.5, 0.5 / 4.5]
    )
    np.testing.assert_allclose(frequencies_of(rows, LabelSet(LabelKind.BINARY, PETS[:2])), [1.5 / 4])
    several = dataclasses.replace(rows, targets=np.array([[0, 1], [0, 1], [0, 1]], np.int8))
    np.testing.assert_allclose(frequencies_of(several, LabelSet(LabelKind.MULTI_LABEL, PETS[:2])), [0.5 / 4, 3.5 / 4])


def test_more_weights_than_memory_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = read(pets(tmp_path / "store", (50, 50, 50)))
    monkeypatch.setattr("transforms.training.probe.available_memory", lambda: 9000)
    with pytest.raises(
        InvalidRecipe, match=r"A linear probe of 3 classes and 16 features needs .* take --recipe=dropout"
    ):
        fit_probe(RECIPE, data)


def test_a_hundred_thousand_classes_are_refused_where_memory_is_too_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    classes = [f"{number:05}" for number in range(100_000)]
    data = read(store_of_features(tmp_path / "store", np.zeros((100_000, 16), np.float32), label=classes))
    monkeypatch.setattr("transforms.training.probe.available_memory", lambda: 300_000_000)
    with pytest.raises(InvalidRecipe) as caught:
        fit_probe(RECIPE, data)
    assert str(caught.value) == (
        "A linear probe of 100,000 classes and 16 features needs 0.3 GB for its weights, and 0.3 GB are free: "
        "take --recipe=dropout."
    )


@pytest.mark.parametrize("constant", [slice(None), slice(2, None)], ids=["all", "some"])
def test_features_that_do_not_move_say_nothing_and_do_no_harm(constant: slice, tmp_path: Path) -> None:
    values, classes = clusters((900, 300), 8, distance=3.0)
    values[:, constant] = 7.5
    data = read(store_of_features(tmp_path / "store", values, label=[PETS[index] for index in classes]))
    fitted = fit_probe(RECIPE, data)
    scores = predict_split(fitted.head, data.rows.test)
    assert np.isfinite(scores).all()
    assert not np.abs(fitted.head.kernel[constant]).any()
    if constant == slice(None):
        np.testing.assert_allclose(scores, 0.25, atol=0.03)  # How frequent the second class is.


def test_a_class_with_one_picture_is_learned_where_there_is_nothing_to_validate_by(tmp_path: Path) -> None:
    values, classes = clusters((150, 150, 1), distance=4.0)
    fractions = SplitFractions(0, 0)
    data = read(store_of_features(tmp_path / "store", values, label=[PETS[index] for index in classes]),
                fractions=fractions)  # fmt: skip
    data.images.check(fractions, folds=True)
    fitted = fit_probe(RECIPE, data)
    scores = predict_split(fitted.head, data.rows.train)
    assert fitted.folds == 5
    assert np.isfinite(fitted.validation_loss)
    alone = np.flatnonzero(data.images.targets == 2)
    assert scores[alone, 2] > 10 * scores[:, 2].mean()


def test_several_labels_cannot_be_balanced(tmp_path: Path) -> None:
    store = store_of_features(tmp_path / "store", np.zeros((30, 3)), tags=[["x"], ["y"], ["x", "y"]] * 10)
    with pytest.raises(InvalidRecipe, match="these have several labels each"):
        fit_probe(Recipe(class_weight="balanced"), read(store, "tags"))
