"""Records of TFRecord files as images, read without TensorFlow."""

import gzip
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from schemas.errors import FailureCode, ImageError, InvalidInput, shown
from schemas.extents import Extent
from schemas.images import ImageRef
from tests.conftest import REPOSITORY
from tests.support.data_sets import example, record, write_records
from transforms.decoding import MAX_BYTES
from transforms.images import fetch_image
from transforms.manifests import ManifestOptions
from transforms.sources import (
    IgnoredFiles,
    ListingRules,
    carried_columns,
    find_sources,
    list_source,
    take_first_look,
)


def picture(number: int) -> bytes:
    return f"picture {number}".encode() * 50


def found(path: object, **options: Any) -> list[dict[str, Any]]:
    sources = find_sources([str(path)], ManifestOptions(**options))
    rules = ListingRules(carried=carried_columns(sources, options.get("carry")))
    batches = (batch for each in sources for batch in list_source(each, rules, IgnoredFiles()))
    return [row for batch in batches for row in batch.to_pylist()]


def ref_of(row: dict[str, Any]) -> ImageRef:
    return ImageRef(row["uri"], row["version"], row["_size"], row["_problem"], row["_place"])


@pytest.fixture
def records() -> list[bytes]:
    return [
        example({"image/encoded": picture(0), "image/class/label": 7}),
        example({"image/class/label": 1, "image/class/text": b"cat", "image/encoded": picture(1), "image/height": 3}),
        example({"image/encoded": picture(2)}),
        example({"image": picture(3), "label": 0, "kind": b"dog"}),
    ]


@pytest.mark.parametrize("name", ["train.tfrecord", "train.tfrecord.gz", "train-00000-of-00001", "train.tfrec"])
def test_records_are_images_with_labels(name: str, records: list[bytes], tmp_path: Path) -> None:
    path = write_records(tmp_path / name, records)
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(path.read_bytes()))
    rows = found(path)
    assert [row["label"] for row in rows] == ["7", "cat", None, "0"]
    assert {row["split"] for row in rows} == {"train"}
    offsets = [sum(len(record(each)) for each in records[:number]) for number in range(4)]
    assert [row["uri"] for row in rows] == [f"tfrecord://{offset:015}::file://{path}" for offset in offsets]
    for number, row in reversed(list(enumerate(rows))):
        assert fetch_image(ref_of(row), MAX_BYTES) == picture(number)
        assert fetch_image(ImageRef(row["uri"], "", None), MAX_BYTES) == picture(number)
    assert (Extent.parse(rows[0]["_place"]) is None) == name.endswith(".gz")
    assert [row["label"] for row in found(path, label_column="kind")] == [None, None, None, "dog"]


def test_further_features_of_one_value_are_columns(tmp_path: Path) -> None:
    """Those that hold lists, other pictures, or what every store has itself are none."""
    same = {"image/object/bbox/xmin": [0.1, 0.2], "image/mask": b"\x89PNG\xff", "width": 3, "uri": b"x"}
    values = [
        {"image/filename": b"0.jpg", "image/class/text": b"cat", "image/class/label": 7, "score": 0.5},
        {"image/filename": b"caf\xc3\xa9.jpg", "image/class/text": b"dog", "image/class/label": 8, "score": []},
        {"image/class/text": b"dog", "split": b"val"},
    ]
    records = [example({"image/encoded": picture(row), **same, **said}) for row, said in enumerate(values)]
    path = write_records(tmp_path / "train.tfrecord", records)
    names = ("label", "split", "image/filename", "image/class/label", "score")
    rows = found(path)
    assert [tuple(row[name] for name in names) for row in rows] == [
        ("cat", "train", "0.jpg", 7, 0.5),
        ("dog", "train", "café.jpg", 8, None),
        ("dog", "validation", None, None, None),
    ]
    assert set(rows[0]) - set(found(path, carry=())[0]) == {"image/filename", "image/class/label", "score"}
    (row, *_) = found(path, label_column="image/filename", carry=("image/class/text",))
    assert (row["label"], row["image/class/text"], "score" in row) == ("0.jpg", "cat", False)
    with pytest.raises(InvalidInput, match=r"--carry names camera, which no manifest has; they have image/class/label"):
        found(path, carry=("camera",))


def test_a_value_of_another_type_than_the_first_ones_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transforms.archives.tfrecords.FIRST_SAMPLES", 0)
    values = (7, b"seven", 7.5, 7.0)
    records = [example({"image/encoded": picture(row), "age": value}) for row, value in enumerate(values)]
    rows = found(write_records(tmp_path / "a.tfrecord", records))
    assert [row["age"] for row in rows] == [7, None, None, 7]
    assert [row["_problem"] for row in rows] == [
        None, 'Its field age is "seven"; in the first samples it is int64.',
        "Its field age is 7.5; in the first samples it is int64.", None,
    ]  # fmt: skip
    assert [row["_given"] for row in rows] == ['["age"]', None, None, '["age"]']


def test_records_without_labels_take_none_away(tmp_path: Path) -> None:
    path = write_records(tmp_path / "a.tfrecord", [example({"image/encoded": picture(0)})])
    assert [(row["label"], row["_given"]) for row in found(path)] == [(None, None)]


@pytest.mark.parametrize("meaning", ["label", "split"])
def test_a_feature_that_no_record_has_is_refused(meaning: str, tmp_path: Path) -> None:
    path = write_records(tmp_path / "a.tfrecord", [example({"image/encoded": picture(0), "breed": b"x", "id": 3})])
    with pytest.raises(InvalidInput) as caught:
        found(path, **{f"{meaning}_column": "bread"})
    assert str(caught.value) == (
        f"No record at the beginning of {shown(f'file://{path}')} has a feature 'bread' (of one value they have: "
        f"breed, id); did you mean 'breed'; --{meaning}_column=NAME names the one that holds the {meaning}s."
    )


def test_the_version_of_an_image_is_that_of_its_record(records: list[bytes], tmp_path: Path) -> None:
    before = found(write_records(tmp_path / "a.tfrecord", records))
    after = found(write_records(tmp_path / "a.tfrecord", [*records[:3], example({"image": picture(4)})]))
    same = [one["version"] == other["version"] for one, other in zip(before, after, strict=True)]
    assert same == [True, True, True, False]


def test_a_record_that_is_damaged_is_a_failure_and_the_others_are_read(records: list[bytes], tmp_path: Path) -> None:
    path = tmp_path / "a.tfrecord"
    broken = bytearray(record(records[1]))
    broken[100] ^= 1
    others = (example({"image/height": 3}), b"\xff\xff")
    path.write_bytes(record(records[0]) + broken + b"".join(map(record, others)) + record(records[2])[:-9])
    rows = found(path)
    assert [row["_problem"] for row in rows] == [
        None, "The record is damaged: its checksum is wrong.", "The record has no feature image/encoded.",
        "The record is no tf.train.Example.", None,
    ]  # fmt: skip
    assert fetch_image(ref_of(rows[0]), MAX_BYTES) == picture(0)
    last = path.stat().st_size - len(record(records[2])) + 9
    broken_off = f"The archive is damaged: it breaks off in the record at byte {last:,}."
    for row in rows[1:]:
        with pytest.raises(ImageError) as caught:
            fetch_image(ref_of(row), MAX_BYTES)
        assert caught.value.message == (row["_problem"] or broken_off)
    assert (caught.value.code, caught.value.message) == (FailureCode.DAMAGED_ARCHIVE, broken_off)


@pytest.mark.parametrize("pattern", ["", "train-*", "*of-00002"])
def test_a_folder_or_a_glob_of_files_is_a_data_set(pattern: str, records: list[bytes], tmp_path: Path) -> None:
    for part in range(2):
        write_records(tmp_path / f"train-{part:05}-of-00002", records[2 * part : 2 * part + 2])
    assert [row["label"] for row in found(tmp_path / pattern)] == ["7", "cat", None, "0"]


def test_a_file_that_holds_no_record_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.tfrecord").write_bytes(b"no record, but some text")
    (tmp_path / "b.tfrecord").write_bytes(b"")
    with pytest.raises(
        InvalidInput,
        match=r"^The TFRecord file .* cannot be read\. The archive is damaged: there is no record at byte 0\.$",
    ):
        take_first_look(find_sources([str(tmp_path / "a.tfrecord")]), ListingRules())
    sources = find_sources([str(tmp_path / "b.tfrecord")])
    assert not take_first_look(sources, ListingRules())
    assert sources[0].without_image(ListingRules()).endswith("/b.tfrecord has no record.")


def test_tensorflow_is_not_imported(records: list[bytes], tmp_path: Path) -> None:
    path = write_records(tmp_path / "a.tfrecord", records)
    code = (
        "import sys\nfrom transforms.sources import *\n"
        f"(source,) = find_sources([{str(path)!r}])\n"
        "assert sum(b.num_rows for b in list_source(source, ListingRules(), IgnoredFiles())) == 4\n"
        "print(*[name for name in ('tensorflow', 'apache_beam', 'keras') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
