"""The page of an exploration: how many points are drawn, and which pictures are read."""

import numpy as np
import pytest

from transforms.gallery.page_rows import thinned


@pytest.mark.parametrize("most", [1000, 5000])
def test_only_dense_places_are_thinned(most: int) -> None:
    rng = np.random.default_rng(0)
    dense = rng.normal(30_000, 300, (20_000, 2))
    sparse = rng.integers(0, 65_536, (200, 2))
    places = np.clip(np.concatenate([dense, sparse]), 0, 65_535).astype(np.uint16)
    kept = thinned(places, most)
    assert len(kept) <= most
    assert (np.diff(kept) > 0).all()
    np.testing.assert_array_equal(kept, thinned(places, most))
    if most == 5000:
        assert np.count_nonzero(kept >= 20_000) > 190  # Those that stand alone are all there.
        assert len(kept) > 2000
