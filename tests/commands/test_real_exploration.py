"""Exploring real photographs, through real weights: planted near-copies and wrong labels are found, and little else."""

import csv
import dataclasses
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipelines import explore as command
from tests.conftest import extract
from tests.support.planted import KINDS_OF_COPY, save_copy

COPIES = 40
TURNED = 30


@dataclasses.dataclass(frozen=True)
class Planted:
    """What was found, and what had been planted: copies by their originals, and images with a wrong label."""

    output: Path
    copies: dict[str, str]
    turned: set[str]


@pytest.fixture(scope="module")
def planted(shared: Path, mobilenet_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Planted:
    folder = tmp_path_factory.mktemp("planted")
    rng = np.random.default_rng(0)
    pictures = sorted((shared / "images" / "dogs_vs_cats").rglob("*.jpg"))
    chosen = [pictures[number] for number in rng.permutation(len(pictures))[:600]]
    rows = [(path.as_uri(), path.parent.name) for path in chosen]
    copies = {}
    for number, original in enumerate(chosen[:COPIES]):
        copy = folder / f"{number}.jpg"
        save_copy(original, number % KINDS_OF_COPY, copy)
        copies[copy.as_uri()] = original.as_uri()
        rows.append((copy.as_uri(), original.parent.name))
    turned = {uri for uri, _ in rows[-COPIES - TURNED : -COPIES]}
    other = {"cats": "dogs", "dogs": "cats"}
    with (folder / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [("uri", "label"), *((uri, other[label] if uri in turned else label) for uri, label in rows)]
        )
    extract(
        f"--input={folder}/manifest.csv", "--conv_base=MobileNet", "--conv_base_arg=alpha=0.25",
        f"--weights={mobilenet_weights}", f"--output={folder}/store",
    )  # fmt: skip
    assert command.main([f"{folder}/store", f"--output={folder}/explore", "--thumbnails=0", "--projection=pca"]) == 0
    return Planted(folder / "explore", copies, turned)


def test_planted_near_copies_are_found_with_their_originals(planted: Planted) -> None:
    groups: dict[int, set[str]] = {}
    for row in pq.read_table(planted.output / "duplicates.parquet").to_pylist():
        groups.setdefault(row["group"], set()).add(row["uri"])
    found = [copy for copy, original in planted.copies.items() if {copy, original} in groups.values()]
    assert len(found) >= 0.95 * COPIES
    assert len(found) >= 0.95 * len(groups)


def test_planted_wrong_labels_are_the_first(planted: Planted) -> None:
    first = pq.read_table(planted.output / "label_issues.parquet")["uri"].to_pylist()[: TURNED // 2]
    assert len(set(first) & planted.turned) >= 0.8 * len(first) > 0
