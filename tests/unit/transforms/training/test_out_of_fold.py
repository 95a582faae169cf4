"""What linear probes say of images that they were not fitted to."""

import numpy as np

from schemas.classifiers import LabelKind, LabelSet
from transforms.training import out_of_fold_scores


def test_images_of_a_class_that_the_other_folds_lack_have_no_scores() -> None:
    targets = np.repeat(np.array([0, 1, 2], np.int32), 40)
    vectors = np.random.default_rng(0).standard_normal((120, 8)).astype(np.float32) + 3 * targets[:, None]
    places = np.arange(120, dtype=np.uint64)
    places[targets == 2] = 80  # One picture, forty times.
    labels = LabelSet(LabelKind.MULTI_CLASS, ("a", "b", "c"))
    scores = out_of_fold_scores(vectors.astype(np.float32), labels, targets, places)
    assert np.isnan(scores[targets == 2]).all()
    assert np.isfinite(scores[targets != 2]).all()
