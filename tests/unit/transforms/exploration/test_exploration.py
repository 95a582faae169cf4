"""What is found of images takes no more memory than it has to."""

import datetime
import gc
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from schemas.classifiers import SplitFractions
from schemas.neighbours import unit_vectors
from schemas.search import Cells
from tests.conftest import clusters
from transforms.exploration import ExploredImages, Projection, exploration
from transforms.training import LABEL, LabelledImages, SplitBy, out_of_fold_scores, read_labelled_images


def images_of(features: np.ndarray, labels: list[str | None]) -> tuple[ExploredImages, LabelledImages]:
    count = len(features)
    table = pa.table(
        {
            "uri": [f"file:///{number}.jpg" for number in range(count)],
            "sha256": [f"{number:016}" + "0" * 48 for number in range(count)],
            "width": pa.array([10] * count, pa.int32()),
            "height": pa.array([10] * count, pa.int32()),
            "extracted_at": [datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)] * count,
            "split": pa.array([None] * count, pa.string()),
            LABEL: pa.array(labels, pa.string()),
        }
    )
    images = ExploredImages("layer", 0, table, unit_vectors(features), False, count)
    return images, read_labelled_images(table, LABEL, SplitBy.AUTO, SplitFractions(), None)


@pytest.mark.parametrize("unlabelled", [0, 7])
def test_features_are_copied_for_judging_labels_only_where_some_have_none(
    unlabelled: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    features, targets = clusters([60, 60])
    labels = [*[None] * unlabelled, *(f"class {target}" for target in targets[unlabelled:])]
    images, labelled = images_of(features, labels)
    judged = list[np.ndarray]()

    def scores(vectors: np.ndarray, *others: Any) -> np.ndarray:
        judged.append(vectors)
        return out_of_fold_scores(vectors, *others)

    monkeypatch.setattr(exploration, "out_of_fold_scores", scores)
    found = exploration.explore(images, labelled, None, Projection.PCA)
    (vectors,) = judged
    np.testing.assert_array_equal(vectors, images.vectors[unlabelled:])
    assert np.shares_memory(vectors, images.vectors) == (unlabelled == 0)
    assert found.judgement.predicted is not None
    assert found.judgement.predicted.null_count == unlabelled


def test_what_cells_took_is_given_back_before_anything_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("faiss", reason="cells are faiss's: pip install convbase[index]")
    features, targets = clusters([150, 150])
    images, labelled = images_of(features, [f"class {target}" for target in targets])
    steps = list[str]()

    def trim() -> None:
        cells = [thing for thing in gc.get_objects() if isinstance(thing, Cells)]
        steps.append(f"trimming, {len(cells)} filled")

    monkeypatch.setattr(exploration, "is_compared_by_cells", lambda *_, **__: True)
    monkeypatch.setattr(exploration, "trim_heap", trim)
    exploration.explore(images, labelled, None, Projection.PCA, lambda step, _: steps.append(step))
    assert list(dict.fromkeys(steps)) == ["comparing", "trimming, 0 filled", "drawing the map", "judging labels"]
