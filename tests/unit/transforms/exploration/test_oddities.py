"""Odd pictures, and classes that their neighbours do not confirm."""

import numpy as np
import pyarrow as pa

from schemas.classifiers import LabelKind, LabelSet
from schemas.neighbours import Neighbours
from transforms.exploration import ExploredImages, find_oddities
from transforms.exploration.oddities import class_agreement


def test_each_kind_of_oddity_is_named_with_its_pictures() -> None:
    count = 300
    rng = np.random.default_rng(0)
    bright, sharp = rng.normal(120, 20, count).astype(np.float32), np.exp(rng.normal(3, 0.2, count)).astype(np.float32)
    width, height = np.full(count, 400), np.full(count, 300)
    bright[[3, 4]], bright[5], sharp[6], width[7], height[8] = (10, 2), 250, 0.5, 20, 100
    bright[9] = sharp[9] = np.nan  # Has no thumbnail.
    distances = np.full((count, 6), 0.1, np.float32)
    distances[11] = 0.9
    table = pa.table({"width": width, "height": height})
    images = ExploredImages("layer", 0, table, np.zeros((count, 1), np.float32), False, count)
    neighbours = Neighbours(np.zeros((count, 6), np.int64), distances)
    found = {oddity.title: oddity for oddity in find_oddities(images, neighbours, bright, sharp)}
    assert found["Outliers"].rows[0] == 11
    assert found["Dark"].rows.tolist() == [4, 3]
    assert found["Dark"].texts == ["brightness 2", "brightness 10"]
    assert found["Bright"].texts == ["brightness 250"]
    assert found["Blurred"].rows.tolist() == [6]
    assert found["Tiny"].texts == ["20 pixels"]
    assert found["Long"].rows.tolist() == [7, 8]
    assert found["Long"].texts[1] == "4.0 : 1"


def test_ordinary_pictures_are_not_odd() -> None:
    images = ExploredImages("layer", 0, pa.table({"width": [100] * 9, "height": [90] * 9}), np.zeros((9, 1)), False, 9)
    neighbours = Neighbours(np.zeros((9, 3), np.int64), np.zeros((9, 3), np.float32))
    unknown = np.full(9, np.nan, np.float32)
    assert [oddity.title for oddity in find_oddities(images, neighbours, unknown, unknown)] == ["Outliers"]


def test_classes_that_cannot_be_told_apart_come_first() -> None:
    labels = LabelSet(LabelKind.MULTI_CLASS, ("a", "b", "c"))
    targets = np.array([0, 0, 1, 1, 2, 2, -1], np.int32)
    rows = np.array([[1, 2], [0, 3], [3, 0], [0, 1], [5, 6], [4, -1], [0, 1]])
    agreement = class_agreement(Neighbours(rows, np.zeros(rows.shape, np.float32)), labels, targets)
    assert [(one.name, one.images, one.agreement, one.confused, one.confusion) for one in agreement] == [
        ("b", 2, 0.25, "a", 0.75), ("a", 2, 0.5, "b", 0.5), ("c", 2, 1.0, None, 0.0),
    ]  # fmt: skip


def test_of_several_labels_each_is_looked_at_alone() -> None:
    labels = LabelSet(LabelKind.MULTI_LABEL, ("a", "b"))
    targets = np.array([[1, 0], [1, 1], [0, 1]], np.int8)
    rows = np.array([[1, 2], [0, 2], [1, 0]])
    agreement = class_agreement(Neighbours(rows, np.zeros(rows.shape, np.float32)), labels, targets)
    assert [(one.name, one.images, one.agreement) for one in agreement] == [("a", 2, 0.5), ("b", 2, 0.5)]
