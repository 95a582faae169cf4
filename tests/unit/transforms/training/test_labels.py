"""Labels: classes, targets and scores; files of labels; and what no classifier can be trained on."""

import dataclasses
import hashlib
import math
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.classifiers import LabelKind, LabelSet, Split, SplitFractions
from schemas.errors import InvalidLabels, shown
from schemas.store import FeatureStore
from tests.conftest import store_of_features
from transforms.training import (
    LabelFile,
    LabelledImages,
    SplitBy,
    common_images,
    read_label_file,
    read_labelled_images,
)

PETS = LabelSet(LabelKind.MULTI_CLASS, ("cat", "cow", "dog"))
TAGS = LabelSet(LabelKind.MULTI_LABEL, ("indoors", "night", "people"))


@pytest.mark.parametrize(
    ("names", "several", "kind", "outputs"),
    [
        (["dog", None, "cat", "dog"], False, LabelKind.BINARY, 1),
        (["dog", "cow", "cat"], False, LabelKind.MULTI_CLASS, 3),
        (["dog", "cat"], True, LabelKind.MULTI_LABEL, 2),
    ],
)
def test_the_kind_follows_from_the_labels(
    names: list[str | None], several: bool, kind: LabelKind, outputs: int
) -> None:
    labels = LabelSet.of(pa.array(names), several=several)
    assert (labels.kind, labels.outputs) == (kind, outputs)
    assert labels.classes == tuple(sorted({name for name in names if name}))
    assert LabelSet.from_json(labels.to_json()) == labels


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ([None, None], "No image has a label: extract with --labels_from=parent"),
        ([], "No image has a label"),
        (["cat", "cat", None], "Every labelled image is of the class 'cat': a classifier needs two at least"),
    ],
)
@pytest.mark.parametrize("several", [False, True])
def test_fewer_than_two_classes_are_refused(names: list[str | None], several: bool, sentence: str) -> None:
    with pytest.raises(InvalidLabels, match=sentence):
        LabelSet.of(pa.array(names, pa.string()), several=several)


def test_targets_of_single_labels_are_indices() -> None:
    names = pa.array(["dog", None, "cat", "unicorn"])
    for encoded in (names, names.dictionary_encode()):
        targets = PETS.targets(encoded)
        assert targets.dtype == np.int32
        assert targets.tolist() == [2, -1, 0, -1]


def test_targets_of_several_labels_are_rows_of_noughts_and_ones() -> None:
    names = pa.array([["night", "indoors"], [], None, ["unicorn", "people"]], pa.list_(pa.string()))
    targets = TAGS.targets(names)
    assert targets.dtype == np.int8
    # No label is an answer too; no list is none.
    assert targets.tolist() == [[1, 1, 0], [0, 0, 0], [-1, -1, -1], [0, 0, 1]]
    assert TAGS.targets(names.slice(1, 3)).tolist() == targets[1:].tolist()


def test_scores_name_both_of_two_classes() -> None:
    two = LabelSet(LabelKind.BINARY, ("cat", "dog"))
    np.testing.assert_allclose(two.scores(np.array([[0.25], [1.0]])), [[0.75, 0.25], [0, 1]])
    several = np.array([[0.9, 0.8, 0.1]])
    np.testing.assert_array_equal(TAGS.scores(several), several)
    np.testing.assert_array_equal(PETS.indicators(np.array([2, 0])), [[0, 0, 1], [1, 0, 0]])


def write_labels(folder: Path, kind: str, uris: list[str], labels: list[object]) -> str:
    path = folder / f"labels.{kind}"
    if kind == "parquet":
        pq.write_table(pa.table({"uri": uris, "label": labels}), path)
    else:
        lines = [f"{uri},{'' if label is None else label}" for uri, label in zip(uris, labels, strict=True)]
        path.write_text("\n".join(["uri,label", *lines, ""]))
    return str(path)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_file_of_labels_is_joined_on_the_uri(kind: str, tmp_path: Path) -> None:
    uris = ["a.jpg", f"{tmp_path}/b b.jpg", "s3://bucket/c.jpg", f"file://{tmp_path}/d.jpg"]
    file = read_label_file(write_labels(tmp_path, kind, uris, ["cat", "dog", "cow", None]))
    asked = [f"file://{tmp_path}/{name}" for name in ("b b.jpg", "a.jpg", "d.jpg", "e.jpg")] + ["s3://bucket/c.jpg"]
    assert file.labels_of(pa.array(asked)).to_pylist() == ["dog", "cat", None, None, "cow"]


def test_numbers_are_names_too(tmp_path: Path) -> None:
    for kind in ("csv", "parquet"):
        file = read_label_file(write_labels(tmp_path, kind, ["a.jpg", "b.jpg"], [7, 12]))
        assert file.labels.to_pylist() == ["7", "12"]


def test_a_parquet_file_may_hold_lists(tmp_path: Path) -> None:
    file = read_label_file(write_labels(tmp_path, "parquet", ["a.jpg", "b.jpg"], [["x", "y"], None]))
    assert file.labels.type == pa.list_(pa.string())
    assert file.labels_of(pa.array([f"file://{tmp_path}/a.jpg"])).to_pylist() == [["x", "y"]]


def test_not_a_number_is_no_label(tmp_path: Path) -> None:
    numbers = pa.array([math.nan, 2.0, None])
    for labels in (numbers, pa.array([[math.nan], [2.0, math.nan], None])):
        pq.write_table(pa.table({"uri": ["a.jpg", "b.jpg", "c.jpg"], "label": labels}), tmp_path / "labels.parquet")
        found = read_label_file(f"{tmp_path}/labels.parquet").labels.to_pylist()
        assert found == [None, "2", None] if labels is numbers else [[], ["2"], None]


@pytest.mark.parametrize("column", ["uri", "label"])
def test_bytes_that_are_no_text_are_refused(column: str, tmp_path: Path) -> None:
    rows = {"uri": [b"a.jpg", b"b.jpg"], "label": [b"cat", b"dog"]}
    path = tmp_path / "labels.parquet"
    pq.write_table(pa.table(rows), path)
    assert read_label_file(str(path)).labels.to_pylist() == ["cat", "dog"]
    pq.write_table(pa.table({**rows, column: [b"\xff", b"b"]}), path)
    with pytest.raises(InvalidLabels) as caught:
        read_label_file(str(path))
    expected = f"The file of labels {shown(str(path))} has bytes in its column '{column}' that are not UTF-8."
    assert str(caught.value) == expected


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("missing.csv", None, r"^There is no file of labels at /.*/missing\.csv\.$"),
        (
            "labels.csv",
            "uri,lable\na.jpg,cat\n",
            r"has no column 'label' \(its columns: uri, lable\); did you mean 'lable'\?",
        ),
        ("labels.csv", "path,label\na.jpg,cat\n", r"has no column 'uri' \(its columns: path, label\)"),
        ("labels.csv", "uri,label\na.jpg\n", "^Line 2 of the manifest .* has 1 cells"),
        ("labels.csv", "", "^The manifest .* is empty"),
        (
            "labels.parquet",
            "uri,label\na.jpg,cat\n",
            "^The manifest .* cannot be read: .*Parquet magic bytes not found",
        ),
        ("labels.csv", "uri,label\na.jpg,cat\n./a.jpg,dog\n", "names 1 image twice, such as file:///.*/a.jpg"),
    ],
)
def test_a_file_that_is_none_of_labels_is_refused(
    name: str, content: str | None, sentence: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(InvalidLabels, match=sentence) as caught:
        read_label_file(f"{tmp_path}/{name}")
    assert "\n" not in str(caught.value)


def test_a_file_of_labels_in_another_encoding_is_to_be_saved_as_utf_8(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_bytes("uri,label\na.jpg,Kätzchen\n".encode("latin-1"))
    with pytest.raises(InvalidLabels, match=r"labels\.csv is not UTF-8; save it as UTF-8\.$"):
        read_label_file(f"{tmp_path}/labels.csv")


def read(
    store: FeatureStore, split_by: SplitBy = SplitBy.AUTO, file: LabelFile | None = None, column: str = "label"
) -> LabelledImages:
    columns = ["uri", "sha256", "split", *([] if file else [column])]
    return read_labelled_images(store.scan(columns), column, split_by, SplitFractions(), file)


def test_auto_takes_the_column_where_any_labelled_image_has_a_split(tmp_path: Path) -> None:
    labels = ["cat", "dog", "cat", None, "dog"]
    splits = ["train", "train", "test", "validation", None]
    store = store_of_features(tmp_path / "a", np.zeros((5, 3)), label=labels, split=splits)
    images = read(store)
    assert images.split_by == SplitBy.COLUMN
    assert images.splits.tolist() == [Split.TRAIN, Split.TRAIN, Split.TEST, Split.LEFT_OUT, Split.LEFT_OUT]
    assert (images.unlabelled, images.unsplit) == (1, 1)
    assert images.counts() == {"train": 2, "validation": 0, "test": 1}
    assert images.class_counts(Split.TRAIN).tolist() == [1, 1]
    assert read(store, SplitBy.HASH).unsplit == 0
    without = store_of_features(tmp_path / "b", np.zeros((5, 3)), label=labels)
    assert read(without).split_by == SplitBy.HASH


def test_labels_of_a_file_take_the_place_of_the_tables(tmp_path: Path) -> None:
    store = store_of_features(tmp_path / "store", np.zeros((3, 3)), label=["cat", "dog", "cow"])
    uris = ["file:///image-2", "file:///image-0"]
    images = read(store, file=read_label_file(write_labels(tmp_path, "csv", uris, ["sheep", "goat"])))
    assert images.labels.classes == ("goat", "sheep")
    assert images.targets.tolist() == [0, -1, 1]
    assert images.unlabelled == 1


def test_a_column_of_lists_makes_a_multi_label_classifier(tmp_path: Path) -> None:
    store = store_of_features(tmp_path / "store", np.zeros((3, 3)), tags=[["x"], ["x", "y"], None])
    images = read(store, column="tags")
    assert images.labels == LabelSet(LabelKind.MULTI_LABEL, ("x", "y"))
    assert images.targets.tolist() == [[1, 0], [1, 1], [-1, -1]]
    assert images.unlabelled == 1


@pytest.mark.parametrize(
    ("labels", "splits", "sentence"),
    [
        (
            "aba",
            ("train", "train", "test"),
            r"The validation split is empty \(train 2, validation 0, test 1; split by column\)",
        ),
        ("abab", ("validation",) * 2 + ("test",) * 2, "The train split is empty"),
        ("abab", ("train",) * 2 + ("validation",) * 2, "The test split is empty .*--test_fraction=0 to go without"),
        ("abab", ("train", "train", "validation", "test"), "The validation split has no example of 'b'"),
        (
            "abcdeab",
            ("train",) * 5 + ("validation", "test"),
            "no example of 'b', 'c', 'd' and 1 further class .split by",
        ),
        ("abbb", ("validation", "validation", "train", "test"), "The train split has no example of 'a'"),
        # Whatever is wrong is said at once, with what helps all of it.
        (
            "ab",
            ("train", "train"),
            r"The validation and test splits are empty .* images of the validation and test splits or --split=hash\.$",
        ),
        (
            "abac",
            ("train", "train", "validation", "validation"),
            "The test split is empty, the train split has no .* 'c' and the validation split has no .* 'b' .train 2, ",
        ),
    ],
)
def test_parts_that_cannot_be_learned_from_or_judged_on_are_refused(
    labels: str, splits: tuple[str, ...], sentence: str, tmp_path: Path
) -> None:
    store = store_of_features(tmp_path / "store", np.zeros((len(labels), 3)), label=[*labels], split=[*splits])
    images = read(store)
    with pytest.raises(InvalidLabels, match=sentence):
        images.check(SplitFractions())


@pytest.mark.parametrize(
    ("labels", "folds", "remedy"),
    [
        ("aba", True, "label more images or --validation_fraction=0 and --test_fraction=0 to go without."),
        ("aba", False, "label more images or a larger --validation_fraction and --test_fraction=0 to go without."),
    ],
)
def test_what_is_split_by_hash_already_is_not_told_to_be(labels: str, folds: bool, remedy: str, tmp_path: Path) -> None:
    store = store_of_features(tmp_path / "store", np.zeros((3, 3)), label=[*labels])
    images = dataclasses.replace(read(store), splits=np.zeros(3, np.uint8), split_by=SplitBy.HASH)
    with pytest.raises(InvalidLabels, match=re.escape(f"test 0; split by hash): {remedy}")):
        images.check(SplitFractions(), folds=folds)


def test_a_split_by_hash_that_lacks_a_class_can_be_gone_without(tmp_path: Path) -> None:
    store = store_of_features(tmp_path / "store", np.zeros((4, 3)), label=[*"abaa"])
    splits = np.array([Split.TRAIN, Split.TRAIN, Split.VALIDATION, Split.TEST], np.uint8)
    images = dataclasses.replace(read(store), splits=splits, split_by=SplitBy.HASH)
    with pytest.raises(InvalidLabels, match=r"of 'b' \(split by hash\): .*--validation_fraction=0 to go without\.$"):
        images.check(SplitFractions(), folds=True)


def test_a_classifier_can_go_without_a_test_part(tmp_path: Path) -> None:
    splits = ["train", "train", "validation", "validation"]
    store = store_of_features(tmp_path / "store", np.zeros((4, 3)), label=[*"abab"], split=splits)
    read(store).check(SplitFractions(0.2, 0.0))


def table_of(names: list[str], labels: list[str | None], splits: list[str | None]) -> LabelledImages:
    sha256 = [hashlib.sha256(name.encode()).hexdigest() for name in names]
    columns = {"uri": names, "sha256": sha256, "split": pa.array(splits, pa.string()), "label": labels}
    scan = pa.table(columns)
    return read_labelled_images(scan, "label", SplitBy.COLUMN, SplitFractions(), None)


def test_several_tables_are_compared_on_the_images_that_all_have_in_the_splits_of_the_first() -> None:
    first = table_of(["a", "b", "c", "d"], ["cat", "dog", "cat", "dog"], ["train", "train", "test", None])
    second = table_of(["d", "c", "e", "a"], ["dog", "dog", "dog", "cat"], ["train", "train", "train", "validation"])
    found = common_images([first, second])
    train, test, out = Split.TRAIN, Split.TEST, Split.LEFT_OUT
    assert [images.splits.tolist() for images in found] == [[train, out, test, out], [out, test, out, train]]
    assert [images.lacking_elsewhere for images in found] == [1, 2]
    # Where labels differ, those of the first hold.
    assert found[1].targets[[1, 3]].tolist() == found[0].targets[[2, 0]].tolist() == [0, 0]
    none = common_images([first, table_of(["x", "y"], ["cat", "dog"], ["train", "train"])])
    assert [set(images.splits.tolist()) for images in none] == [{out}, {out}]


def test_tables_of_other_classes_are_not_compared() -> None:
    first = table_of(["a", "b"], ["cat", "dog"], ["train", "train"])
    with pytest.raises(InvalidLabels, match=r"The first store has images of cat, dog \(binary\), another has cat, cow"):
        common_images([first, table_of(["a", "b"], ["cat", "cow"], ["train", "train"])])
