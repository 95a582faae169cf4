"""The map: vectors as points of a plane, so that near ones stay near. The same vectors, the same map."""

import enum
import importlib.util
from typing import Final

import numpy as np

from schemas.errors import UsageError
from schemas.neighbours import Neighbours
from transforms.runtime import available_cores

_SEED: Final = 2017
_ROWS_AT_ONCE: Final = 8192
# Neighbours of each image by which t-SNE draws: with 15 of the same weight it draws what it does with a perplexity of
# 30 and affinities of its own (Böhm, Berens and Kobak, JMLR 23, 2022).
TSNE_NEIGHBOURS: Final = 15
# Fewer images than these have no neighbourhoods to draw.
_LEAST_FOR_TSNE: Final = 4 * TSNE_NEIGHBOURS
# Drawing more takes longer than finding everything else.
_MOST_FOR_TSNE: Final = 200_000
_SPREAD_OF_START: Final = 1e-4
# After 250 with exaggeration, half of what openTSNE takes unless told: of 4,000 photographs the trustworthiness of the
# map is .937 instead of .939, in half of the time.
_ITERATIONS: Final = 250
# OpenMP's threads wait for each other by spinning, hundreds of times in a drawing, which fewer images are not worth.
_LEAST_FOR_THREADS: Final = 10_000


class Projection(enum.StrEnum):
    """How a map is drawn."""

    AUTO = "auto"
    TSNE = "tsne"
    PCA = "pca"


def project(vectors: np.ndarray, neighbours: Neighbours, asked: Projection) -> tuple[np.ndarray, Projection]:
    """Draws a map.

    Args:
        vectors: float32 [n, D].
        neighbours: Those of each row.
        asked: How; `AUTO` takes t-SNE where openTSNE is installed and there are enough images, and not too many, else
            PCA.

    Returns:
        float32 [n, 2], and how it was drawn.

    Raises:
        UsageError: If t-SNE is asked for, and openTSNE is not installed.
    """
    is_installed = importlib.util.find_spec("openTSNE") is not None
    if asked == Projection.TSNE and not is_installed:
        raise UsageError("--projection=tsne needs openTSNE: pip install opentsne, or take --projection=pca.")
    plane = principal_plane(vectors)
    too_many = asked == Projection.AUTO and len(vectors) > _MOST_FOR_TSNE
    if asked == Projection.PCA or not is_installed or too_many or len(vectors) < _LEAST_FOR_TSNE:
        return plane, Projection.PCA
    return _tsne(neighbours, plane), Projection.TSNE


def principal_plane(vectors: np.ndarray) -> np.ndarray:
    """Returns float32 [n, 2], the two principal components; each points to where its largest weight is positive."""
    import scipy.linalg

    dimensions = vectors.shape[1]
    mean = vectors.mean(axis=0, dtype=np.float64)
    covariance = np.zeros((dimensions, dimensions))
    for start in range(0, len(vectors), _ROWS_AT_ONCE):
        centred = (vectors[start : start + _ROWS_AT_ONCE] - mean).astype(np.float32)
        covariance += centred.T @ centred
    first = max(dimensions - 2, 0)
    _, axes = scipy.linalg.eigh(covariance, subset_by_index=[first, dimensions - 1])
    axes = axes[:, ::-1] * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])[::-1]
    plane = np.zeros((len(vectors), 2), np.float32)
    plane[:, : axes.shape[1]] = (vectors @ axes.astype(np.float32)) - mean @ axes
    return plane


def _tsne(neighbours: Neighbours, plane: np.ndarray) -> np.ndarray:
    """Draws by t-SNE from neighbours that are known, beginning with the principal plane."""
    import openTSNE

    k = min(TSNE_NEIGHBOURS, neighbours.rows.shape[1])
    known = openTSNE.nearest_neighbors.PrecomputedNeighbors(neighbours.rows[:, :k], neighbours.distances[:, :k])
    affinities = openTSNE.affinity.Uniform(knn_index=known, k_neighbors=k)
    start = plane.astype(np.float64) / max(float(plane[:, 0].std()), 1e-12) * _SPREAD_OF_START
    threads = available_cores() if len(plane) >= _LEAST_FOR_THREADS else 1
    drawing = openTSNE.TSNE(n_iter=_ITERATIONS, n_jobs=threads, random_state=_SEED)
    return np.asarray(drawing.fit(affinities=affinities, initialization=start), np.float32)
