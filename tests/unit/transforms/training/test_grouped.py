"""Near-duplicates that a split keeps together."""

import hashlib

import numpy as np
import pyarrow as pa

from schemas.classifiers import Duplicates, SplitFractions, hash_places
from transforms.training import SplitBy, read_labelled_images


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_the_bytes_of_an_image_of_a_group_are_in_its_split_under_every_name() -> None:
    groups = [f"group {number}" for number in range(40)]
    table = pa.table(
        {
            "uri": [*groups, *(f"{group}, came later" for group in groups)],
            "sha256": [sha256(group) for group in groups] * 2,
            "split": pa.nulls(80, pa.string()),
            "label": ["x", "y"] * 40,
        }
    )
    places = hash_places(pa.array([sha256(f"place of {group}") for group in groups]))
    grouped = Duplicates(pa.array(groups), np.ones(40, bool), places)
    images = read_labelled_images(table, "label", SplitBy.HASH, SplitFractions(), None, grouped=grouped)
    np.testing.assert_array_equal(images.places, np.tile(places, 2))
    np.testing.assert_array_equal(images.splits[:40], images.splits[40:])
