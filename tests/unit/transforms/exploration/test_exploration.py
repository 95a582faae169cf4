"""What is found of images takes no more memory than it has to."""

import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from schemas.classifiers import SplitFractions
from schemas.neighbours import unit_vectors
from tests.conftest import clusters
from transforms.exploration import ExploredImages, Projection, exploration
from transforms.training import LABEL, SplitBy, out_of_fold_scores, read_labelled_images


@pytest.mark.parametrize("unlabelled", [0, 7])
def test_features_are_copied_for_judging_labels_only_where_some_have_none(
    unlabelled: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    features, targets = clusters([60, 60])
    labels = [f"class {target}" for target in targets[unlabelled:]]
    table = pa.table(
        {
            "uri": [f"file:///{number}.jpg" for number in range(120)],
            "sha256": [f"{number:016}" + "0" * 48 for number in range(120)],
            "width": pa.array([10] * 120, pa.int32()),
            "height": pa.array([10] * 120, pa.int32()),
            "extracted_at": [datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)] * 120,
            "split": pa.array([None] * 120, pa.string()),
            LABEL: pa.array([*[None] * unlabelled, *labels], pa.string()),
        }
    )
    images = ExploredImages("layer", 0, table, unit_vectors(features), False, 120)
    labelled = read_labelled_images(table, LABEL, SplitBy.AUTO, SplitFractions(), None)
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
