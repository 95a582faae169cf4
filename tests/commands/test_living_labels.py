"""Labels, splits and carried columns of known images follow the input, and no picture is read for it."""

import contextlib
import re
import shutil
import signal
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines import backfill as backfill_command
from pipelines import extract as command
from pipelines import train as train_command
from pipelines.jobs import training as training_job
from schemas.classifiers import Split, SplitFractions
from schemas.errors import InvalidInput, InvalidLabels
from schemas.images import REFS_PER_BATCH
from schemas.store import FeatureStore
from tests.conftest import SMALL_BASE, extract, write_pictures
from tests.support.children import Kill, start_extraction
from transforms.training import LabelledImages, SplitBy, read_label_file, read_labelled_images

Row = tuple[str | None, str | None]


@pytest.fixture
def cases(shared: Path) -> Path:
    if not (shared / "cases").is_dir():
        pytest.skip(f"needs the small inputs in {shared / 'cases'}, which are absent")
    return shared / "cases"


def rows(store: object, *columns: str) -> dict[str, Any]:
    """What the table holds of each image, by its name: label and split, or other columns."""
    found = FeatureStore.open(str(store)).scan(["uri", *(columns or ("label", "split"))]).to_arrow()
    values = {row.pop("uri").rpartition("/")[2]: tuple(row.values()) for row in found.to_pylist()}
    assert len(values) == found.num_rows
    return values


def floats(store: object) -> dict[str, bytes]:
    opened = FeatureStore.open(str(store))
    uris = opened.scan(["uri"]).to_numpy("uri")
    return {uri: values.tobytes() for uri, values in zip(uris, opened.scan().to_numpy(), strict=True)}


def words(capsys: pytest.CaptureFixture[str]) -> str:
    """What was printed, its words a blank apart."""
    return " ".join(capsys.readouterr().out.split())


def manifest(folder: Path, columns: str, *lines: str, name: str = "m.csv") -> Path:
    (folder / name).write_text("\n".join([columns, *lines, ""]))
    return folder / name


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pictures, and a store with their labels; to be copied."""
    folder = tmp_path_factory.mktemp("made")
    write_pictures(folder, 3)
    lines = ("000.jpg,1,cat,train", "001.jpg,1,cat,train", "002.jpg,1,dog,train")
    extract(f"--input={manifest(folder, 'uri,version,label,split', *lines)}", f"--output={folder}/store", *SMALL_BASE)
    return folder


@pytest.fixture
def store(made: Path, tmp_path: Path) -> Path:
    """A copy of the store."""
    shutil.copytree(made / "store", tmp_path / "store")
    return tmp_path / "store"


def again(made: Path, store: Path, columns: str, *lines: str, options: Sequence[str] = ()) -> dict[str, Any]:
    """Extracts once more, from a manifest with other columns and cells."""
    return extract(f"--input={manifest(made, columns, *lines)}", f"--output={store}", *options)


def test_a_corrected_label_reaches_the_table_although_the_pictures_are_gone(
    made: Path, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = floats(store)
    lines = ("000.jpg,1,cow,val,manx", "001.jpg,1,,,", "002.jpg,1, dog ,TRAIN,poodle")
    with gone(made.glob("*.jpg")):
        summary = again(made, store, "uri,version,label,split,breed", *lines)
    assert (summary["skipped"], summary["extracted"], summary["failed"], summary["labels_updated"]) == (3, 0, 0, 3)
    assert summary["metrics"]["bytes_read"] == 0
    assert "labels updated 3 " in words(capsys)
    assert rows(store, "label", "split", "breed") == {
        "000.jpg": ("cow", "validation", "manx"), "001.jpg": (None, None, None), "002.jpg": ("dog", "train", "poodle"),
    }  # fmt: skip
    assert floats(store) == before
    opened = FeatureStore.open(str(store))
    assert opened.features().version() == 3, "the extraction, the new column, and one commit of labels"
    row = opened.find_run(summary["run_id"])
    assert row is not None
    assert (row["labels_updated"], row["table_version"]) == (3, 3)
    assert again(made, store, "uri,version,label,split,breed", *lines)["labels_updated"] == 0
    assert opened.features().version() == 3


@contextlib.contextmanager
def gone(paths: Iterable[Path]) -> Iterator[None]:
    """Has files gone for a while."""
    moved = [(path, path.rename(path.with_suffix(".gone"))) for path in paths]
    try:
        yield
    finally:
        for path, hidden in moved:
            hidden.rename(path)


@pytest.mark.parametrize(
    ("columns", "cells"), [("uri,version", ""), ("uri,version,split", ",train"), ("uri,version,breed", ",manx")]
)
def test_an_input_without_labels_takes_none_away(columns: str, cells: str, made: Path, store: Path) -> None:
    before = rows(store)
    again(made, store, columns, *(f"{number:03}.jpg,1{cells}" for number in range(3)))
    assert rows(store) == before


def test_a_folder_without_labels_takes_none_away_though_the_versions_are_others(made: Path, store: Path) -> None:
    before = rows(store)
    assert extract(f"--input={made}/*.jpg", f"--output={store}")["extracted"] == 3
    assert rows(store) == before


def test_labels_stay_where_it_is_said(made: Path, store: Path) -> None:
    before = rows(store)
    summary = again(made, store, "uri,version,label", "000.jpg,1,cow", options=["--update_labels=false"])
    assert (summary["labels_updated"], rows(store)) == (0, before)


def test_labels_from_folders_reach_a_store_that_was_made_without(tmp_path: Path) -> None:
    for name in ("train/cats", "val/dogs", "test"):
        path = tmp_path / "photos" / name
        write_pictures(path, 1, seed=len(name))[0].rename(path / f"{name.replace('/', '-')}.jpg")
    options = (f"--input={tmp_path}/photos", f"--output={tmp_path}/store")
    extract(*options, *SMALL_BASE)
    assert extract(*options, "--labels_from=parent")["labels_updated"] == 3
    assert rows(tmp_path / "store") == {
        "train-cats.jpg": ("cats", "train"), "val-dogs.jpg": ("dogs", "validation"), "test.jpg": (None, "test"),
    }  # fmt: skip
    # What was said otherwise stays: folders say something only where they name it.
    csv = manifest(tmp_path, "uri,label", "photos/test/test.jpg,cats")
    extract(f"--input={csv}", f"--output={tmp_path}/store")
    assert extract(*options, "--labels_from=parent")["labels_updated"] == 0
    assert rows(tmp_path / "store")["test.jpg"] == ("cats", "test")


def test_a_changed_picture_keeps_what_the_input_does_not_say_again(tmp_path: Path) -> None:
    write_pictures(tmp_path, 2)
    csv = manifest(tmp_path, "uri,label,split,breed", "000.jpg,cat,Training,manx", "001.jpg,dog,test,pug")
    store = tmp_path / "store"
    extract(f"--input={csv}", f"--output={store}", *SMALL_BASE)
    before = floats(store)
    write_pictures(tmp_path, 2, seed=5)
    labels = manifest(tmp_path, "uri,label", "000.jpg,cow", name="labels.csv")
    summary = extract(f"--input={labels}", f"--input={tmp_path}/001.jpg", f"--output={store}")
    assert (summary["extracted"], summary["labels_updated"]) == (2, 0)
    assert not set(before.values()) & set(floats(store).values())
    assert rows(store, "label", "split", "breed") == {
        "000.jpg": ("cow", "train", "manx"),
        "001.jpg": ("dog", "test", "pug"),
    }


def test_an_adopted_row_has_the_label_of_the_run_that_adopts_it(tmp_path: Path) -> None:
    write_pictures(tmp_path, 4)
    extract(f"--input={tmp_path}/000.jpg", f"--output={tmp_path}/store", *SMALL_BASE)
    options = [f"--input={tmp_path}/m.csv", f"--output={tmp_path}/store"]
    manifest(tmp_path, "uri,label", "001.jpg,cta", "002.jpg,dog")
    process = start_extraction(options, tmp_path / "log", kill=Kill("transforms.extraction.beam:commit_run"))
    process.join(300)
    assert process.exitcode == -signal.SIGKILL, (tmp_path / "log").read_text()
    manifest(tmp_path, "uri,label,breed", "001.jpg,cat,manx", "002.jpg,dog,", "003.jpg,cow,")
    summary = extract(*options)
    assert (summary["extracted"], summary["adopted"], summary["labels_updated"]) == (3, 2, 0)
    assert rows(tmp_path / "store", "label", "breed") == {
        "000.jpg": (None, None), "001.jpg": ("cat", "manx"), "002.jpg": ("dog", None), "003.jpg": ("cow", None),
    }  # fmt: skip


def test_a_backfill_brings_labels_to_dates_that_are_complete(tmp_path: Path) -> None:
    for number, day in enumerate(("2024-03-01", "2024-03-02")):
        write_pictures(tmp_path / "up" / day / "cats", 1, seed=number)[0].rename(tmp_path / f"up/{day}/cats/{day}.jpg")
    store = tmp_path / "store"
    options = [f"--input={tmp_path}/up/{{ds}}", f"--output={store}", "--start=2024-03-01", "--end=2024-03-02"]
    assert backfill_command.main([*options, *SMALL_BASE]) == 0
    assert set(rows(store).values()) == {(None, None)}
    assert backfill_command.main([*options, "--labels_from=parent"]) == 0
    assert rows(store) == {"2024-03-01.jpg": ("cats", None), "2024-03-02.jpg": ("cats", None)}
    for day in ("2024-03-01", "2024-03-02"):
        manifest(tmp_path / "up" / day, "uri,label", f"cats/{day}.jpg,lynx")
    lists = [f"--input={tmp_path}/up/{{ds}}/m.csv", *options[1:]]
    assert backfill_command.main(lists) == 0
    assert set(rows(store).values()) == {("lynx", None)}
    # A refresh without labels computes every row again, and takes no label away.
    assert backfill_command.main([*options, "--refresh"]) == 0
    assert set(rows(store).values()) == {("lynx", None)}


def labelled(store: object, *arguments: str) -> LabelledImages:
    """What pipelines.train learns from, read as it reads it."""
    opened = FeatureStore.open(str(store))
    given = train_command.parser().parse_args([f"--features={store}", "--output=model", *arguments])
    return training_job._labelled(given, opened, opened.features().version())


def test_the_case_of_a_folder_val(cases: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = cases / "A3-val" / "photos"
    extract(f"--input={photos}", "--labels_from=parent", f"--output={tmp_path}/store", *SMALL_BASE)
    assert "classes cats 16, dogs 16 splits train 16, validation 16 " in words(capsys)
    images = labelled(tmp_path / "store", "--test_fraction=0")
    assert images.counts()["train"] == 16
    assert images.counts()["validation"] == len(list((photos / "val").rglob("*.jpg")))


def test_the_case_of_a_flat_folder_test(cases: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = cases / "A4-kaggle" / "photos"
    extract(f"--input={photos}", "--labels_from=parent", f"--output={tmp_path}/store", *SMALL_BASE)
    assert "without a label 5 " in words(capsys)
    found = FeatureStore.open(f"{tmp_path}/store").scan(["uri", "label", "split"]).to_arrow().to_pylist()
    by_split = {(row["label"], row["split"]) for row in found if "/test/" in row["uri"]}
    assert by_split == {(None, "test")}
    assert {row["label"] for row in found if row["split"] == "train"} == {"cats", "dogs"}


def test_the_case_of_two_labels_for_each_image(cases: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = (f"--input={cases}/B5-conflict/m.csv", f"--output={tmp_path}/store")
    extract(*options, *SMALL_BASE)
    (warning,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Warning")]
    assert warning.startswith("Warning: 12 images are in the input with several labels, such as file://")
    assert warning.count("(cat, dog)") == 3
    assert extract(*options)["labels_updated"] == 0


def test_the_case_of_a_corrected_manifest(cases: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [f"{path},cta,train" for path in sorted((cases / "pics").glob("*.jpg"))[:12]]
    extract(f"--input={manifest(tmp_path, 'uri,label,split', *lines)}", f"--output={tmp_path}/store", *SMALL_BASE)
    summary = extract(f"--input={cases}/B10-corrected/m.csv", f"--output={tmp_path}/store")
    assert (summary["extracted"], summary["labels_updated"], summary["metrics"]["bytes_read"]) == (0, 12, 0)
    assert "labels updated 12 " in words(capsys)
    assert set(rows(tmp_path / "store", "label", "split", "breed").values()) == {("cat", "validation", "boxer")}


def test_the_case_of_labels_with_blanks(cases: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    extract(f"--input={cases}/B14-labels/m.csv", f"--output={tmp_path}/store", *SMALL_BASE)
    names = ["007", "7", "NaN", "NA", "null", "None", "cat", "cat", "cat", None, None, "nan"]
    assert rows(tmp_path / "store", "label") == {f"{number:02}.jpg": (name,) for number, name in enumerate(names)}
    out = capsys.readouterr().out
    assert "Warning: the labels 'NaN', 'nan' differ only by blanks or case" in out
    assert "is taken as a label; an image without one has an empty cell." in out


def test_an_unknown_split_is_refused_before_a_store_is_made(tmp_path: Path) -> None:
    write_pictures(tmp_path, 1)
    path = manifest(tmp_path, "uri,split", "000.jpg,holdout")
    with pytest.raises(InvalidInput, match="has the split 'holdout'"):
        command.main([f"--input={path}", f"--output={tmp_path}/store", *SMALL_BASE])
    assert not (tmp_path / "store").exists()


def test_folders_that_would_name_labels_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, name in enumerate(("cats", "dogs")):
        write_pictures(tmp_path / "photos" / name, 2, seed=number)
    options = (f"--input={tmp_path}/photos", f"--output={tmp_path}/store")
    extract(*options, *SMALL_BASE)
    told = "Warning: no image has a label, and the folders have names (cats, dogs): --labels_from=parent takes them"
    assert told in capsys.readouterr().out
    extract(*options, "--labels_from=parent")
    assert "Warning" not in capsys.readouterr().out


def test_a_store_with_other_spellings_is_read_as_if_it_held_ours(store: Path) -> None:
    (path,) = store.glob("features/ds=*/*.parquet")
    table = pq.read_table(path, partitioning=None)
    index = table.schema.get_field_index("split")
    spelled = table.set_column(index, table.schema.field(index), pa.array(["Training", " val ", "EVAL"]))
    pq.write_table(spelled, path)
    images = read_labelled_images(
        FeatureStore.open(str(store)).scan(["uri", "sha256", "split", "label"]), "label", SplitBy.AUTO,
        SplitFractions(), None,
    )  # fmt: skip
    assert sorted(images.splits.tolist()) == [Split.TRAIN, Split.VALIDATION, Split.TEST]


def test_a_label_file_and_a_table_say_what_they_lack_of_each_other(made: Path, store: Path) -> None:
    path = manifest(made, "uri,label", "000.jpg,a", "001.jpg, b ", "other.jpg,a", name="labels.csv")
    opened = FeatureStore.open(str(store))
    images = read_labelled_images(
        opened.scan(["uri", "sha256", "split"]), None, SplitBy.AUTO, SplitFractions(),
        read_label_file(str(path)),
    )  # fmt: skip
    assert images.labels.classes == ("a", "b")
    matches = images.matches
    assert matches is not None
    assert (matches.rows, matches.rows_without_image, matches.images_without_row) == (3, 1, 1)
    assert matches.looked_for == f"file://{made}/other.jpg"
    path = manifest(made, "uri,label", "pics/000.jpg,a", "pics/001.jpg,b", name="labels.csv")
    with pytest.raises(
        InvalidLabels, match=r"None of the 2 rows .*: file://.*/pics/000\.jpg was looked for, and the table"
    ):
        labelled(store, f"--labels={path}")


def test_a_dry_run_counts_the_labels_that_the_run_updates(
    made: Path, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = manifest(made, "uri,version,label,breed", "000.jpg,1,cow,", "001.jpg,1,cat,manx", "002.jpg,1,dog,")
    options = (f"--input={path}", f"--output={store}")
    assert command.main([*options, "--dry_run"]) == 0
    assert "labels to update 2 " in words(capsys)
    assert command.main([*options, "--dry_run", "--update_labels=false"]) == 0
    assert "labels to update" not in words(capsys)
    assert extract(*options)["labels_updated"] == 2
    assert command.main([*options, "--dry_run"]) == 0
    assert "labels to update" not in words(capsys)


def test_a_dry_run_of_a_backfill_counts_them_by_date(
    made: Path, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest(made, "uri,version,label", "000.jpg,1,cow", "001.jpg,1,cat", "002.jpg,1,cow", name="2024-03-01.csv")
    options = [f"--input={made}/{{ds}}.csv", f"--output={store}", "--start=2024-03-01", "--end=2024-03-02"]
    assert backfill_command.main([*options, "--dry_run"]) == 0
    assert "2024-03-01 3 0 2 0 unknown to do 2024-03-02 - - - - - empty in all 3 0 2 0" in re.sub(
        r"0:00:00", "unknown", words(capsys)
    )


def test_an_unknown_split_far_down_in_a_manifest_is_wrong_input(made: Path, store: Path) -> None:
    lines = [f"{number:05}.jpg,1,train" for number in range(REFS_PER_BATCH)]
    path = manifest(made, "uri,version,split", *lines, "x.jpg,1,holdout")
    with pytest.raises(
        InvalidInput, match=r"^The manifest .* has the split 'holdout' for .*/x\.jpg; a split is train,"
    ):
        command.main([f"--input={path}", f"--output={store}"])
