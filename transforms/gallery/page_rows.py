"""Which images the page of an exploration shows, and where on its map."""

from typing import Final

import numpy as np

from transforms.exploration import Exploration, outliers
from transforms.gallery.page_notes import GROUPS_SHOWN, ISSUES_SHOWN

# The most points of a map; of more images the densest places are thinned.
MOST_POINTS: Final = 100_000
IMAGES_PER_GROUP: Final = 24
_CELLS: Final = 256
_GREATEST: Final = 65_535


def shown_rows(found: Exploration) -> np.ndarray:
    """Returns int64 [m], the images of the page, ascending: all, or some of the densest places and all of findings."""
    images = len(found.images)
    if images <= MOST_POINTS:
        return np.arange(images)
    return np.unique(np.concatenate([thinned(on_page(found.points), MOST_POINTS), *_listed(found)]))


def _listed(found: Exploration) -> list[np.ndarray]:
    """Returns the images that the page lists: of groups, of likely wrong labels, and outliers."""
    issues = found.judgement.issues
    listed = [group.rows[:IMAGES_PER_GROUP] for group in found.groups[:GROUPS_SHOWN]]
    listed += [] if issues is None else [issues.rows[:ISSUES_SHOWN]]
    return [*listed, outliers(found.neighbours)]


def thinned(places: np.ndarray, most: int) -> np.ndarray:
    """Returns int64 [m], some of many points: of each small square of the map as many as there are, or an equal number.

    Args:
        places: uint16 [n, 2].
        most: About how many are wanted.
    """
    cells = (places[:, 1] // _CELLS).astype(np.int64) * _CELLS + places[:, 0] // _CELLS
    order = np.lexsort((np.random.default_rng(0).random(len(cells)), cells))
    within = np.arange(len(cells)) - np.searchsorted(cells[order], cells[order])
    kept = np.bincount(within).cumsum() <= most
    return np.sort(order[within < max(int(kept.sum()), 1)])


def wanted_thumbnails(found: Exploration, rows: np.ndarray, most: int) -> np.ndarray:
    """Returns int64 [m], the images of the page that get a thumbnail: those of findings first, then others evenly.

    Args:
        found: What was found.
        rows: int64 [n], the images of the page.
        most: The most thumbnails.
    """
    if len(rows) <= most:
        return rows
    spread = rows[np.random.default_rng(0).permutation(len(rows))]
    order = np.concatenate([*_listed(found), spread])
    _, firsts = np.unique(order, return_index=True)
    return np.sort(order[np.sort(firsts)[:most]])


def on_page(points: np.ndarray) -> np.ndarray:
    """Returns uint16 [n, 2], points in a square that keeps their proportions, the second axis downwards."""
    least, most = points.min(axis=0), points.max(axis=0)
    side = max(float((most - least).max()), 1e-12)
    shares = (points - (least + most) / 2) / side + 0.5
    shares[:, 1] = 1 - shares[:, 1]
    places: np.ndarray = np.clip(np.rint(shares * _GREATEST), 0, _GREATEST).astype(np.uint16)
    return places
