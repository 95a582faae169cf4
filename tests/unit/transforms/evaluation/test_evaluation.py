"""Evaluations: what is said of many classes, of splits too large to be judged whole, and of classifiers compared."""

import json
from pathlib import Path

import numpy as np
import pytest

from schemas.classifiers import LabelKind, LabelSet, Recipe, Split, SplitFractions
from tests.conftest import clusters, store_of_features
from transforms.evaluation import Evaluation, ScoredSplit, evaluate, judge
from transforms.training import SplitBy, TrainingData, Trial, fit_all, fit_probe, read_labelled_images

PETS = ("cat", "cow", "dog")
FEW_BYTES = 200_000


def read(folder: Path, memory_bytes: int = 10**9) -> TrainingData:
    features, classes = clusters((1000, 2000, 3000), distance=2.5)
    store = store_of_features(folder, features, label=[PETS[index] for index in classes])
    scan = store.scan(["uri", "sha256", "split", "label"])
    images = read_labelled_images(scan, "label", SplitBy.HASH, SplitFractions(), None)
    return TrainingData.read(
        store, "features", store.features().version(), images, map_reductions=["avg"], memory_bytes=memory_bytes
    )


def judged(labels: LabelSet, targets: np.ndarray, scores: np.ndarray) -> Evaluation:
    return judge(labels, lambda _: ScoredSplit(targets, scores, lambda places: [f"file:///{row}" for row in places]))


def test_of_a_thousand_and_one_classes_the_confused_pairs_are_kept_and_no_matrix() -> None:
    labels = LabelSet(LabelKind.MULTI_CLASS, tuple(f"{number:04}" for number in range(1001)))
    targets = np.repeat(np.arange(1001, dtype=np.int32), 3)
    said = targets.copy()
    said[:2], said[3] = 7, 9  # Two of the first class, and one of the second.
    evaluation = judged(labels, targets, labels.indicators(said).astype(np.float32))
    assert evaluation.judged.confusion is None
    assert evaluation.judged.confused == [("0000", "0007", 2), ("0001", "0009", 1)]
    metrics = json.loads(json.dumps(evaluation.to_dict()))
    assert metrics["confusion"]["true_by_predicted"] is None
    assert metrics["test_accuracy"] == pytest.approx(1 - 3 / 3003)


def test_the_confused_pairs_are_those_of_the_matrix() -> None:
    labels = LabelSet(LabelKind.MULTI_CLASS, PETS)
    rng = np.random.default_rng(0)
    targets, scores = rng.integers(0, 3, 500).astype(np.int32), rng.random((500, 3)).astype(np.float32)
    evaluation = judged(labels, targets, scores)
    assert evaluation.judged.confusion is not None
    matrix = {(PETS[row], PETS[column]): count for (row, column), count in np.ndenumerate(evaluation.judged.confusion)}
    assert {pair[:2]: pair[2] for pair in evaluation.judged.confused} == {
        (true, said): count for (true, said), count in matrix.items() if true != said
    }
    counts = [pair[2] for pair in evaluation.judged.confused]
    assert counts == sorted(counts, reverse=True)


@pytest.mark.parametrize("memory_bytes", [10**9, FEW_BYTES], ids=["held", "streamed"])
def test_of_a_split_with_very_many_scores_a_sample_is_judged(
    memory_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = read(tmp_path / "store", memory_bytes)
    assert data.rows.streamed == (memory_bytes == FEW_BYTES)
    fitted = fit_probe(Recipe(l2=0.01), data)
    whole = evaluate(fitted, data).by_split[Split.TRAIN]
    monkeypatch.setattr("transforms.evaluation.evaluation.MOST_SCORES", 3 * 2000)
    sample = evaluate(fitted, data)
    train, test = sample.by_split[Split.TRAIN], sample.by_split[Split.TEST]
    assert whole is not None
    assert train is not None
    assert test is not None
    assert (train.images, test.images) == (2000, data.images.counts()["test"])
    assert whole.images == data.images.counts()["train"] > 3000
    for row, other in zip(train.classes, whole.classes, strict=True):
        assert row.images / 2000 == pytest.approx(other.images / whole.images, abs=0.001)
    assert train.accuracy == pytest.approx(whole.accuracy, abs=0.02)
    # Its interval is that of the images that were looked at.
    low, high = train.accuracy_interval
    assert high - low > 1.1 * (whole.accuracy_interval[1] - whole.accuracy_interval[0])


def test_the_leaderboard_names_what_differs_and_knows_how_sure_it_is(tmp_path: Path) -> None:
    data = read(tmp_path / "store")
    trials: list[Trial] = []
    recipes = [Recipe(l2=value) for value in (1e-3, 100.0)]
    fitted, _, ranked = fit_all(["only"], recipes, lambda _: data, trials.append)
    compared = evaluate(fitted, data, trials=ranked).compared
    assert [each.name for each in compared] == ["l2 0.001", "l2 100.0"]
    assert [each.accuracy for each in compared] == [trial.validation_accuracy for trial in ranked]
    assert compared[0].p is None
    assert compared[1].p is not None
    assert compared[1].p < 0.01
    for each in compared:
        assert each.accuracy_interval[0] < each.accuracy < each.accuracy_interval[1]
    assert evaluate(fitted, data, trials=ranked[:1]).compared == []
