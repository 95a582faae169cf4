"""Metrics that commands write are those that scikit-learn and SciPy compute from the files of predictions."""

import csv
import html
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn import metrics as reference

from pipelines import predict as predict_command
from schemas.store import FeatureStore
from tests.conftest import clusters, store_of_features, train
from tests.support.browser import UNREADABLE, opened_browser

SPLITS = ("train", "validation", "test")
# Names of numbers, formulas, markup, emoji, other scripts, separators and very many letters.
NAMES = ("0", "1e3", "=1+1", "<b>&amp;</b>", "🦊", "Katze, die", 'a"b', "x" * 300, "猫", "null")


def predicted(model: Path, store: FeatureStore, output: Path, *options: str) -> pd.DataFrame:
    """The predictions of a store's features by a classifier, from their CSV."""
    arguments = [f"--model={model}", f"--features={store.uri}", f"--output={output}", "--output_format=csv"]
    assert predict_command.main([*arguments, "--thumbnails=0", *options]) == 0
    return pd.read_csv(output / "predictions.csv", keep_default_na=False)


def scores_of(rows: pd.DataFrame, classes: tuple[str, ...]) -> np.ndarray:
    return rows[[f"score_{name}" for name in classes]].to_numpy(np.float64)


def cells(page: str, title: str) -> dict[str, list[str]]:
    """The cells of the rows of the first table below a title, by their first."""
    table = page.partition(title)[2].partition("<tbody>")[2].partition("</tbody>")[0]
    rows = re.findall(r"<tr><th>(.*?)</th>(.*?)</tr>", table, flags=re.S)
    texts = {html.unescape(name): re.findall(r"<td>(.*?)</td>", rest, flags=re.S) for name, rest in rows}
    return {name: [html.unescape(re.sub(r"<.*?>", "", text)).strip() for text in row] for name, row in texts.items()}


def calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """The expected calibration error over ten bins of equal width."""
    bins = np.minimum((confidence.astype(np.float32) * 10).astype(int), 9)
    found = [(bins == number, (bins == number).mean()) for number in range(10) if (bins == number).any()]
    return float(sum(share * abs(confidence[rows].mean() - right[rows].mean()) for rows, share in found))


@pytest.mark.parametrize("count", [2, 3, len(NAMES)])
def test_metrics_of_single_labels(count: int, small_store: FeatureStore, tmp_path: Path) -> None:
    values, numbers = clusters([240 // count] * count, features=256, distance=1.5)
    labels = [NAMES[number] for number in numbers]
    store = store_of_features(tmp_path / "store", values, small_store, label=labels, split=split_of(len(labels)))
    written = train(f"--features={store.uri}", f"--output={tmp_path}/model")
    rows = predicted(tmp_path / "model", store, tmp_path / "out")
    classes = tuple(sorted(NAMES[:count]))
    assert json.loads((tmp_path / "model/labels.json").read_text())["classes"] == list(classes)
    truth = dict(zip((f"file:///image-{number}" for number in range(len(labels))), labels, strict=True))
    pages = [(tmp_path / folder / "report.html").read_text() for folder in ("model", "out")]
    of_splits = [cells(page, "<h1>") for page in pages]
    for split in SPLITS:
        part = rows[rows["split"] == split]
        true = np.array([classes.index(truth[uri]) for uri in part["uri"]])
        scores = scores_of(part, classes)
        said = scores.argmax(axis=1)
        accuracy = reference.accuracy_score(true, said)
        assert written[f"{split}_accuracy"] == pytest.approx(accuracy, abs=1e-12)
        loss = reference.log_loss(true, scores / scores.sum(axis=1, keepdims=True), labels=range(count))
        assert written[f"{split}_log_loss"] == pytest.approx(loss, abs=2e-5)
        interval = stats.binomtest(int((true == said).sum()), len(true)).proportion_ci(method="wilson")
        assert written["intervals"][split]["accuracy"] == pytest.approx([interval.low, interval.high], abs=1e-9)
        precision, recall, f1, images = reference.precision_recall_fscore_support(
            true, said, labels=range(count), zero_division=0
        )
        areas = [reference.roc_auc_score(true == index, scores[:, index]) for index in range(count)]
        average = [reference.average_precision_score(true == index, scores[:, index]) for index in range(count)]
        assert written[f"{split}_auc"] == pytest.approx(np.mean(areas), abs=1e-3)
        for index, row in enumerate(written["classes"][split]):
            expected = (precision[index], recall[index], f1[index], areas[index], average[index])
            found = [row[name] for name in ("precision", "recall", "f1", "auc", "average_precision")]
            assert (row["name"], row["images"]) == (classes[index], images[index])
            assert found == pytest.approx(expected, abs=2e-3)
        confidence = scores[:, 1] if count == 2 else scores.max(axis=1)
        right = true == 1 if count == 2 else true == said
        assert written[f"{split}_calibration_error"] == pytest.approx(calibration_error(confidence, right), abs=2e-3)
        for page in of_splits:
            figures, percent = page[split], f"{accuracy:.4f} ({interval.low:.3f} to {interval.high:.3f})"
            assert figures[:2] == [f"{len(true):,}", percent]
            assert float(figures[3]) == pytest.approx(loss, abs=1e-4)
    matrix = reference.confusion_matrix(true, said, labels=range(count))  # Of the test split, the last.
    assert written["confusion"]["true_by_predicted"] == matrix.tolist()
    for page in pages:
        of_classes = cells(page, "Classes on the test split")
        assert set(of_classes) == set(classes)
        assert [float(of_classes[name][2]) for name in classes] == pytest.approx(recall, abs=1e-4)
        assert "<b>" not in page
    with opened_browser(tmp_path / "profile") as browser:
        for folder in ("model", "out"):
            for width in (390, 1280):
                browser.open(tmp_path / folder / "report.html", width)
                assert browser.value("document.documentElement.scrollWidth") <= width
                assert browser.value(UNREADABLE) == []
        assert browser.errors == []


def split_of(images: int) -> list[str]:
    return [SPLITS[number % 5 // 3 + number % 5 // 4] for number in range(images)]


def test_metrics_of_several_labels(small_store: FeatureStore, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    classes = ("<i>", "7", "night, dark", "people")
    true = (rng.random((300, 4)) < [0.5, 0.3, 0.2, 0.6]).astype(int)
    values = rng.normal(size=(300, 256)).astype(np.float32)
    values[:, :4] += 2 * true
    lists = [[classes[index] for index in np.flatnonzero(row)] for row in true]
    store = store_of_features(tmp_path / "store", values, small_store, labels=lists, split=split_of(300))
    written = train(f"--features={store.uri}", f"--output={tmp_path}/model")
    rows = predicted(tmp_path / "model", store, tmp_path / "out", "--label_column=labels")
    ordered = tuple(sorted(classes))
    truth = {f"file:///image-{number}": row for number, row in enumerate(true[:, [classes.index(n) for n in ordered]])}
    for split in SPLITS:
        part = rows[rows["split"] == split]
        targets = np.array([truth[uri] for uri in part["uri"]])
        scores = scores_of(part, ordered)
        said = scores >= 0.5
        assert ["|".join(np.array(ordered)[row]) for row in said] == part["labels"].tolist()
        assert written[f"{split}_accuracy"] == pytest.approx((said == targets).mean())
        assert written[f"{split}_exact_match"] == pytest.approx(reference.accuracy_score(targets, said))
        losses = [reference.log_loss(targets[:, index], scores[:, index]) for index in range(4)]
        assert written[f"{split}_log_loss"] == pytest.approx(np.mean(losses), abs=2e-5)
        assert written[f"{split}_auc"] == pytest.approx(reference.roc_auc_score(targets, scores), abs=1e-3)
        found = reference.precision_recall_fscore_support(targets, said, zero_division=0)
        for index, row in enumerate(written["classes"][split]):
            assert (row["name"], row["images"]) == (ordered[index], found[3][index])
            figures = (row["precision"], row["recall"], row["f1"])
            assert figures == pytest.approx([values[index] for values in found[:3]])
        error = calibration_error(scores.ravel(), targets.ravel() == 1)
        assert written[f"{split}_calibration_error"] == pytest.approx(error, abs=2e-3)
    assert written["confusion"]["true_by_predicted"] is None


def test_the_p_of_a_leaderboard_is_mcnemar_s_of_the_files(small_store: FeatureStore, tmp_path: Path) -> None:
    values, numbers = clusters((700, 700, 700), features=256, distance=2.0)
    store = store_of_features(
        tmp_path / "store", values, small_store, label=[f"c{number}" for number in numbers], split=split_of(2100)
    )
    strengths = ("0.0001", "0.3", "3")
    train(f"--features={store.uri}", f"--output={tmp_path}/swept", "--sweep", f"l2={','.join(strengths)}")
    right = {}
    for l2 in strengths:
        train(f"--features={store.uri}", f"--output={tmp_path}/{l2}", f"--l2={l2}")
        rows = predicted(tmp_path / l2, store, tmp_path / f"out-{l2}")
        rows = rows[rows["split"] == "validation"].sort_values("uri")
        right[float(l2)] = (rows["label"] == rows["true_labels"]).to_numpy()
    first, *others = csv.DictReader((tmp_path / "swept/leaderboard.csv").read_text().splitlines())
    assert first["mcnemar_p"] == ""
    for row in (first, *others):
        assert float(row["validation_accuracy"]) == pytest.approx(right[float(row["l2"])].mean())
    best = right[float(first["l2"])]
    for row in others:
        other = right[float(row["l2"])]
        alone, other_alone = int((best & ~other).sum()), int((other & ~best).sum())
        expected = stats.binomtest(alone, alone + other_alone).pvalue if alone + other_alone else 1.0
        assert float(row["mcnemar_p"]) == pytest.approx(expected, abs=6e-4)
