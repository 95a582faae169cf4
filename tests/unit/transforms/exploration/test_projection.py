"""The map: the same each time, and near vectors near."""

import numpy as np
import pytest

from schemas.errors import UsageError
from schemas.neighbours import Neighbours, nearest_rows, unit_vectors
from tests.conftest import clusters
from transforms.exploration import Projection
from transforms.exploration import projection as module
from transforms.exploration.projection import principal_plane, project


def near(vectors: np.ndarray) -> Neighbours:
    found = nearest_rows(vectors, [vectors], 16)
    return Neighbours(found.rows[:, 1:], found.distances[:, 1:])


@pytest.mark.parametrize("dimensions", [1, 2, 3, 40])
def test_the_principal_plane_has_the_most_variance_and_a_sign(dimensions: int) -> None:
    rng = np.random.default_rng(0)
    vectors = (rng.standard_normal((300, dimensions)) * (1 + np.arange(dimensions)) + 3).astype(np.float32)
    plane = principal_plane(vectors)
    assert plane.shape == (300, 2)
    variances = np.sort(np.linalg.eigvalsh(np.atleast_2d(np.cov(vectors.T))))[::-1][:2]
    np.testing.assert_allclose(plane.var(axis=0, ddof=1)[: len(variances)], variances, rtol=1e-3)
    np.testing.assert_allclose(plane.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_array_equal(principal_plane(vectors.copy()), plane)


def test_few_images_are_drawn_by_their_principal_components() -> None:
    vectors = unit_vectors(np.random.default_rng(0).random((20, 5), np.float32))
    _, drawn = project(vectors, near(vectors), Projection.AUTO)
    assert drawn == Projection.PCA


def test_without_opentsne_the_map_is_there_and_tsne_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda _: None)
    vectors = unit_vectors(np.random.default_rng(0).random((100, 5), np.float32))
    assert project(vectors, near(vectors), Projection.AUTO)[1] == Projection.PCA
    with pytest.raises(UsageError, match="pip install opentsne"):
        project(vectors, near(vectors), Projection.TSNE)


def test_tsne_keeps_classes_together_and_is_the_same_each_time() -> None:
    pytest.importorskip("openTSNE", reason="needs openTSNE, which is not installed")
    features, classes = clusters([60, 60, 60], distance=6.0)
    vectors = unit_vectors(features)
    points, drawn = project(vectors, near(vectors), Projection.AUTO)
    assert drawn == Projection.TSNE
    again, _ = project(vectors, near(vectors), Projection.TSNE)
    np.testing.assert_array_equal(points, again)
    distances = np.linalg.norm(points[:, None] - points[None], axis=2) + 1e9 * np.eye(len(points))
    assert (classes[distances.argmin(axis=1)] == classes).mean() > 0.95
