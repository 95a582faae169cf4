"""Inputs as people have them: folders with links and leftovers, manifests from other programs, one row that is bad."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipelines import extract as extract_command
from pipelines import train as train_command
from schemas.delta import Scan
from schemas.errors import InvalidInput, InvalidLabels, shown
from schemas.store import FeatureStore
from tests.conftest import extract, write_pictures

NewStore = Callable[[], Path]
FOLDS = ("--validation_fraction=0", "--test_fraction=0")
FORMS = ("m.csv.gz", "m.tsv", "metadata.jsonl", "manifest.parquet", "m.parq", "list")


@pytest.fixture
def new_store(small_store: FeatureStore, tmp_path: Path) -> NewStore:
    """Makes stores without an image, with the small conv base."""
    numbers = iter(range(100))

    def make() -> Path:
        folder = tmp_path / "stores" / str(next(numbers))
        shutil.copytree(f"{small_store.uri.removeprefix('file://')}/conv_bases", folder / "conv_bases")
        FeatureStore.create(str(folder), small_store.spec)
        return folder

    return make


@pytest.fixture
def store(new_store: NewStore) -> Path:
    return new_store()


@pytest.fixture
def cases(shared: Path) -> Path:
    """The small inputs that show one kind of fault each."""
    folder = shared / "cases"
    if not folder.is_dir():
        pytest.skip(f"needs the inputs in {folder}, which is absent")
    return folder


def rows(store: object, *columns: str) -> list[tuple[Any, ...]]:
    """The rows of `features`, ordered by URI: the image's name, and some columns."""
    table = FeatureStore.open(str(store)).scan(["uri", *columns]).to_arrow().sort_by("uri").to_pylist()
    return [(row["uri"].rpartition("/")[2], *(row[name] for name in columns)) for row in table]


def labels(store: object) -> dict[str, int]:
    """The number of images of each label."""
    found = [label for _, label in rows(store, "label")]
    return {label: found.count(label) for label in sorted(set(found), key=str)}


def failures(store: object) -> dict[str, tuple[str, str]]:
    """Code and message of each failure by the URI."""
    table = Scan(FeatureStore.open(str(store)).failures()).to_arrow().to_pylist()
    return {row["uri"]: (row["code"], row["message"]) for row in table}


def refused(*arguments: object) -> str:
    """The sentence with which an extraction is refused, before there is a store."""
    with pytest.raises(InvalidInput) as caught:
        extract_command.main([*map(str, arguments), "--conv_base=MobileNet"])
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_hidden_folders_are_ignored_and_counted(cases: Path, store: Path) -> None:
    summary = extract(f"--input={cases}/A1-hidden/photos", "--labels_from=parent", f"--output={store}")
    assert labels(store) == {"cats": 6, "dogs": 6}
    assert (summary["listed"], summary["left_aside"]) == (12, 4)


def test_files_that_a_system_left_beside_pictures_are_ignored_and_counted(cases: Path, store: Path) -> None:
    summary = extract(f"--input={cases}/A2-appledouble/photos", f"--output={store}")
    assert (summary["extracted"], summary["failed"], summary["left_aside"]) == (10, 0, 10)


def test_what_is_excluded_is_ignored_and_counted(cases: Path, store: Path) -> None:
    summary = extract(
        f"--input={cases}/A1-hidden/photos", "--exclude=dogs", "--exclude=cats/0[0-3].jpg", f"--output={store}"
    )
    assert [name for (name,) in rows(store)] == ["04.jpg", "05.jpg"]
    assert summary["left_aside"] == 4 + 1 + 4


def test_linked_folders_are_followed_and_each_real_folder_is_listed_once(cases: Path, store: Path) -> None:
    folder = store.parent / "linked"
    shutil.copytree(cases / "A5-symlinkdirs", folder)
    for name in ("cats", "dogs"):
        link = folder / "photos" / name
        link.unlink()
        link.symlink_to(f"../real/{name}")
    (folder / "photos" / "zoo").symlink_to("../real/cats")
    (folder / "photos" / "birds" / "loop").symlink_to("..")
    summary = extract(f"--input={folder}/photos", "--labels_from=parent", f"--output={store}")
    assert labels(store) == {"birds": 4, "cats": 4, "dogs": 4}
    assert (summary["listed"], summary["left_aside"]) == (12, 2)


def test_a_linked_file_has_the_version_of_its_target(cases: Path, store: Path) -> None:
    folder = store.parent / "linked"
    shutil.copytree(cases / "A7-symlinkfile", folder, copy_function=shutil.copyfile)
    (folder / "photos" / "a.bmp").unlink()
    (folder / "photos" / "a.bmp").symlink_to("../real/a.bmp")
    (folder / "list.txt").write_text("photos/00.jpg\nphotos/01.jpg\nphotos/a.bmp\n")
    assert extract(f"--input={folder}/photos", f"--output={store}")["extracted"] == 3
    assert extract(f"--input={folder}/list.txt", f"--output={store}")["skipped"] == 3
    before = dict(rows(store, "sha256"))
    real = folder / "real" / "a.bmp"
    size = real.stat().st_size
    with Image.open(real) as picture:
        Image.new("RGB", picture.size, "red").save(real)
    assert real.stat().st_size == size
    assert extract(f"--input={folder}/photos", f"--output={store}")["extracted"] == 1
    after = dict(rows(store, "sha256"))
    assert [name for name in after if after[name] != before[name]] == ["a.bmp"]


def test_a_name_that_is_not_utf_8_is_a_failure_with_the_name_escaped(cases: Path, store: Path) -> None:
    photos = cases / "A8-nonutf8" / "photos"
    extract(f"--input={photos}", f"--output={store}", "--max_failure_ratio=0.5")
    assert len(rows(store)) == 3
    code, message = failures(store)[f"file://{photos}/caf\\xe9.jpg"]
    assert (code, message) == ("invalid_uri", "The name of the file, or of a folder above it, is not UTF-8; rename it.")


@pytest.mark.timeout(120)
def test_a_pipe_is_never_opened(store: Path) -> None:
    folder = store.parent / "pictures"
    write_pictures(folder, 3)
    os.mkfifo(folder / "pipe.jpg")
    (folder / "list.txt").write_text("000.jpg\n001.jpg\n002.jpg\npipe.jpg\n")
    summary = extract(
        f"--input={folder}", f"--input={folder}/list.txt", f"--output={store}", "--max_failure_ratio=0.5",
        "--manifest_versions=none",
    )  # fmt: skip
    assert (summary["extracted"], summary["failed"], summary["left_aside"]) == (3, 1, 2)
    assert failures(store)[f"file://{folder}/pipe.jpg"][0] == "not_found"


def test_a_folder_that_may_not_be_read_is_named(tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pictures(tmp_path / "photos" / "mine", 2)
    (tmp_path / "photos" / "a" / "theirs").mkdir(parents=True)
    scan = os.scandir

    def refusing(path: str) -> object:
        if str(path).endswith("theirs"):
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", refusing)  # Whoever runs tests as root may read everything.
    sentence = refused(f"--input={tmp_path}/photos")
    folder = shown(f"{tmp_path}/photos/a/theirs")
    assert sentence == f"The folder {folder} may not be read; --exclude=a/theirs leaves it out."
    assert extract(f"--input={tmp_path}/photos", "--exclude=a/theirs", f"--output={store}")["extracted"] == 2


def test_columns_whose_names_a_table_cannot_tell_apart_are_refused(cases: Path) -> None:
    sentence = refused(f"--input={cases}/B2-oddcolumns/Label.csv")
    assert "has the column Label, which a table cannot tell from label; did you mean 'label'?" in sentence
    assert "--label_column=Label says so" in sentence
    assert "has the columns Label, LABEL, which a table cannot tell from label" in refused(
        f"--input={cases}/B2-oddcolumns/case.csv"
    )


def test_the_label_column_can_be_named_and_blanks_around_names_go(cases: Path, new_store: NewStore) -> None:
    named, padded = new_store(), new_store()
    extract(f"--input={cases}/B2-oddcolumns/Label.csv", "--label_column=Label", f"--output={named}")
    extract(f"--input={cases}/B2-oddcolumns/space.csv", f"--output={padded}")
    assert labels(named) == labels(padded) == {"cat": 6, "dog": 6}


def test_a_column_that_is_there_twice_is_refused(cases: Path, small_store: FeatureStore) -> None:
    assert "has the column 'label' several times" in refused(f"--input={cases}/B3-dupcolumns/m.csv")
    assert "has the column 'note' several times" in refused(f"--input={cases}/B3-dupcolumns/d.csv")
    options = (f"--features={small_store.uri}", f"--labels={cases}/B3-dupcolumns/d.csv", "--label_column=note")
    with pytest.raises(InvalidLabels, match="has the column 'note' several times"):
        train_command.main([*options, "--output=nowhere"])


@pytest.mark.parametrize("name", ["semi.csv", "tab.csv"])
def test_a_delimited_text_is_read_as_other_programs_write_it(name: str, cases: Path, store: Path) -> None:
    extract(f"--input={cases}/B4-encodings/{name}", f"--output={store}")
    assert labels(store) == {"cat": 6, "dog": 6}


def test_another_encoding_has_to_be_named(cases: Path, store: Path) -> None:
    latin = f"--input={cases}/B4-encodings/latin1.csv"
    assert "is not UTF-8; --encoding=latin-1, --encoding=cp1252 or another one says what it is" in refused(latin)
    extract(latin, "--encoding=latin-1", f"--output={store}")
    assert labels(store) == {"chat noir é": 6, "dog": 6}


BAD_ROWS = {
    "http://[bad/x.jpg": "invalid_uri",
    "github://a:b@main/x.jpg": None,
    "hf://datasets/a/b/x.jpg": "not_allowed",  # Its package is there, with `datasets`.
    "sftp://host/x.jpg": "package_missing",
    "http://127.0.0.1:99999/x.jpg": "invalid_uri",
    "s3://": "invalid_uri",
    "hdfs2://h/x.jpg": "unknown_protocol",
}


def test_one_bad_row_ends_no_run(cases: Path, store: Path) -> None:
    folder = cases / "B6-badrow"
    inputs = [f"--input={path}" for path in sorted(folder.iterdir())]
    summary = extract(*inputs, f"--output={store}", "--max_failure_ratio=0.9")
    assert (summary["extracted"], summary["failed"]) == (12, len(inputs))
    found = failures(store)
    for uri, code in BAD_ROWS.items():
        assert code in {None, found[uri][0]}, (uri, found[uri])
    codes = {uri: code for uri, (code, _) in found.items() if uri not in BAD_ROWS}
    by_name = {uri.rpartition("/")[2][:8]: code for uri, code in codes.items()}
    assert by_name == {
        "a\0b.jpg": "invalid_uri", "xxxxxxxx": "invalid_uri", "x.jpg": "invalid_uri", "emptyuri": "invalid_uri",
    }  # fmt: skip
    assert found[f"file://{folder}/emptyuri.parquet#row=13"][1] == "The row has no URI."
    assert extract(*inputs, f"--output={store}", "--max_failure_ratio=1")["extracted"] == 0


def test_columns_are_kept_or_widened(cases: Path, store: Path) -> None:
    extract(f"--input={cases}/B7-types/phash.parquet", f"--output={store}")
    given = pq.read_table(cases / "B7-types" / "phash.parquet")["phash"].to_pylist()
    assert [value for _, value in rows(store, "phash")] == [str(value) for value in given]


def test_columns_of_the_stores_own_names_are_named_together(cases: Path, store: Path) -> None:
    crawled = f"--input={cases}/B7-types/img2dataset.parquet"
    with pytest.raises(Exception, match=r"names of the store's own: width, height, sha256; .*--carry=none") as caught:
        extract_command.main([crawled, "--conv_base=MobileNet"])
    assert getattr(caught.value, "exit_code", None) == 2
    extract(crawled, "--carry=caption,key", f"--output={store}")
    table = FeatureStore.open(str(store)).scan().to_arrow()
    assert "caption" in table.column_names
    assert "status" not in table.column_names


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("binary.parquet", "types that a table cannot hold: 'bytes' (binary); --carry=NAME"),
    ],
)
def test_columns_that_cannot_be_held_are_refused(name: str, sentence: str, cases: Path) -> None:
    assert sentence in refused(f"--input={cases}/B7-types/{name}")


def test_a_manifest_without_rows_is_named(cases: Path) -> None:
    for name in ("empty.txt", "blank.txt", "header.csv", "e.parquet"):
        sentence = refused(f"--input={cases}/B16-empty/{name}")
        assert sentence == f"The manifest file://{cases}/B16-empty/{name} names no image: it has no row."


def test_a_ragged_row_is_named_by_its_line(cases: Path) -> None:
    assert f"Line 3 of the manifest file://{cases}/B17-ragged/many.csv has 3 cells and its header has 2" in refused(
        f"--input={cases}/B17-ragged/many.csv"
    )
    assert "Line 3 of the manifest" in refused(f"--input={cases}/B17-ragged/few.csv")


def test_a_trailing_comma_makes_no_column_and_a_blank_line_no_row(cases: Path, store: Path) -> None:
    trailing, blank = (f"--input={cases}/B17-ragged/{name}.csv" for name in ("trailing", "blanklines"))
    assert extract(trailing, f"--output={store}")["extracted"] == 12
    assert labels(store) == {"cat": 6, "dog": 6}
    assert "" not in FeatureStore.open(str(store)).scan().to_arrow().column_names
    assert extract(blank, f"--output={store}")["skipped"] == 12


def test_the_forms_of_a_manifest_name_the_same_images(cases: Path, store: Path) -> None:
    inputs = [f"--input={cases}/B8-forms/{name}" for name in FORMS]
    summary = extract(*inputs, f"--output={store}")
    assert (summary["extracted"], summary["failed"], summary["duplicates"]) == (12, 0, 12 * (len(FORMS) - 1))
    assert labels(store) == {"cat": 6, "dog": 6}


def test_ids_become_paths_by_a_prefix_and_a_suffix(store: Path) -> None:
    folder = store.parent / "kaggle"
    write_pictures(folder / "train", 4)
    lines = ("id,breed,fold", "000,boxer,train", "001,beagle,train", "002,boxer,test", "003,beagle,test")
    (folder / "train.csv").write_text("\n".join(lines))
    extract(
        f"--input={folder}/train.csv", "--uri_column=id", "--uri_prefix=train/", "--uri_suffix=.jpg",
        "--label_column=breed", "--split_column=fold", f"--output={store}",
    )  # fmt: skip
    assert rows(store, "label", "split") == [
        ("000.jpg", "boxer", "train"), ("001.jpg", "beagle", "train"), ("002.jpg", "boxer", "test"),
        ("003.jpg", "beagle", "test"),
    ]  # fmt: skip


def test_a_manifest_whose_images_are_all_missing_is_refused(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pictures(tmp_path / "photos", 2)
    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / "here.txt").write_text("photos/000.jpg\nphotos/001.jpg\n")
    (lists / "windows.txt").write_text("..\\photos\\000.jpg\n")
    (lists / "gone.txt").write_text("x.jpg\ny.jpg\n")
    monkeypatch.chdir(tmp_path)
    sentence = refused("--input=lists/here.txt")
    assert sentence.startswith("The first 2 images are all missing in the manifest file://")
    assert f"; {shown(f'{tmp_path}/photos/000.jpg', 100)} is there" in sentence
    assert "unless --uri_prefix=$PWD/ is given" in sentence
    assert "write / instead of \\" in refused("--input=lists/windows.txt")
    assert "--uri_prefix and --uri_suffix are put around" in refused("--input=lists/gone.txt")
    assert extract("--input=lists/here.txt", f"--uri_prefix={tmp_path}/", f"--output={store}")["extracted"] == 2


def test_accents_that_are_written_otherwise_are_told(tmp_path: Path) -> None:
    """Disks of macOS have them apart from their letters."""
    write_pictures(tmp_path / "cafe\u0301", 1)
    (tmp_path / "m.txt").write_text("caf\u00e9/000.jpg\n")
    sentence = refused(f"--input={tmp_path}/m.txt")
    assert "is there: its accents are written otherwise there than in the manifest (Unicode's NFC and NFD)." in sentence
    assert len(sentence) <= 400


def test_numbers_get_wider_and_a_column_without_values_has_no_type_yet(store: Path) -> None:
    write_pictures(store.parent / "photos", 3)
    nights = [pa.nulls(1), pa.array([3]), pa.array([2.5])]
    for number, ages in enumerate(nights):
        path = store.parent / f"{number}.parquet"
        pq.write_table(pa.table({"uri": [f"photos/{number:03}.jpg"], "age": ages}), path)
        assert extract(f"--input={path}", f"--output={store}")["extracted"] == 1
    assert [age for _, age in rows(store, "age")] == [None, 3.0, 2.5]


def test_lists_of_labels_are_several_labels(cases: Path, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = cases / "B7-types" / "listlabel.parquet"
    extract(f"--input={manifest}", f"--output={store}")
    printed = capsys.readouterr().out
    given = pq.read_table(manifest)["label"].to_pylist()
    assert [found for _, found in rows(store, "labels")] == given
    assert {label for _, label in rows(store, "label")} == {None}
    assert "without a label" not in printed
    counts = {name: sum(name in names for names in given) for names in given for name in names}
    assert all(f"{name} {count}" in printed for name, count in counts.items())
    for options in ((), (f"--labels={manifest}",)):
        output = store.parent / f"model-{len(options)}"
        train_command.main([f"--features={store}", f"--output={output}", "--split=hash", *FOLDS, *options])
        labels_of_model = json.loads((output / "labels.json").read_text())
        assert (labels_of_model["kind"], labels_of_model["classes"]) == ("multi-label", sorted(counts))


def test_blanks_around_labels_in_lists_go(store: Path) -> None:
    write_pictures(store.parent / "photos", 3)
    lists = [[" cat ", "", "dog"], [], None]
    lines = ({"uri": f"photos/{number:03}.jpg", "label": names} for number, names in enumerate(lists))
    (store.parent / "m.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    extract(f"--input={store.parent}/m.jsonl", f"--output={store}")
    assert [found for _, found in rows(store, "labels")] == [["cat", "dog"], [], None]


def image_folder(folder: Path) -> Path:
    """Nine pictures: two that `metadata.csv` of the folder names, and those of two splits, one with a table."""
    for name, count in (("", 3), ("train/cats", 2), ("test", 4)):
        write_pictures(folder / name, count)
    lines = ("000.jpg,cat,train,left", "train/cats/001.jpg,lynx,,", "gone.jpg,cat,,right", "001.jpg,,,")
    (folder / "metadata.csv").write_text("\n".join(("file_name,label,split,camera", *lines)))
    lines = ('{"file_name": "001.jpg", "label": "dog", "age": 3}', '{"file_name": "./003.jpg", "label": "cat"}')
    (folder / "test" / "metadata.jsonl").write_text("\n".join(lines))
    return folder


def test_a_table_in_a_folder_says_what_its_images_are(store: Path) -> None:
    folder = image_folder(store.parent / "photos")
    summary = extract(f"--input={folder}", f"--output={store}", "--max_failure_ratio=0.5")
    figures = ("listed", "extracted", "failed", "duplicates", "left_aside")
    assert [summary[name] for name in figures] == [10, 9, 1, 0, 0]
    found = FeatureStore.open(str(store)).scan(["uri", "label", "split", "camera", "age"]).to_arrow().to_pylist()
    by_path = {row.pop("uri").removeprefix(f"file://{folder}/"): tuple(row.values()) for row in found}
    assert by_path == {
        "000.jpg": ("cat", "train", "left", None),
        "001.jpg": (None, None, None, None),
        "002.jpg": (None, None, None, None),
        "train/cats/000.jpg": (None, "train", None, None),
        "train/cats/001.jpg": ("lynx", "train", None, None),
        "test/000.jpg": (None, "test", None, None),
        "test/001.jpg": ("dog", "test", None, 3),
        "test/002.jpg": (None, "test", None, None),
        "test/003.jpg": ("cat", "test", None, None),
    }
    assert failures(store)[f"file://{folder}/gone.jpg"][0] == "not_found"
    again = extract(f"--input={folder}", f"--output={store}", "--labels_from=parent", "--max_failure_ratio=0.5")
    assert (again["skipped"], again["labels_updated"]) == (10, 3)
    assert labels(store) == {None: 2, "cat": 2, "cats": 1, "dog": 1, "lynx": 1, "photos": 2}


def test_a_corrected_table_in_a_folder_is_read_again(store: Path) -> None:
    folder = store.parent / "photos"
    write_pictures(folder, 2)
    for label in ("cta", "cat"):
        (folder / "metadata.csv").write_text(f"file_name,label\n000.jpg,{label}\n")
        summary = extract(f"--input={folder}", f"--output={store}")
    assert (summary["skipped"], summary["labels_updated"], summary["duplicates"]) == (2, 1, 0)
    (folder / "metadata.csv").write_text("file_name,label\n000.jpg,cat\n001.jpg,dog\n")
    assert extract(f"--input={folder}", f"--output={store}")["labels_updated"] == 1
    assert rows(store, "label") == [("000.jpg", "cat"), ("001.jpg", "dog")]


def test_a_table_without_file_names_says_nothing_of_a_folder(store: Path) -> None:
    folder = store.parent / "photos"
    write_pictures(folder, 2)
    (folder / "metadata.csv").write_text("image_id,label\n000,cat\n")
    assert extract(f"--input={folder}", f"--output={store}")["left_aside"] == 1
    assert labels(store) == {None: 2}
    (folder / "metadata.jsonl").write_text('{"file_name": "000.jpg", "label": "dog"}')
    assert "--carry names age, which no manifest has; they have file_name, label" in refused(
        f"--input={folder}", "--carry=age"
    )


@pytest.mark.parametrize("name", ["Train", "VAL"])
def test_a_table_in_a_folder_of_a_split_in_any_case_is_read(name: str, store: Path) -> None:
    folder = store.parent / "photos"
    write_pictures(folder / name, 1)
    (folder / name / "metadata.csv").write_text("file_name,label\n000.jpg,cat\n")
    extract(f"--input={folder}", f"--output={store}")
    assert labels(store) == {"cat": 1}


@pytest.mark.parametrize(("exclude", "found"), [("train", {"cat": 1}), ("/metadata.csv", {None: 1, "cat": 1})])
def test_what_is_excluded_has_no_table_that_brings_it_back(
    exclude: str, found: dict[str | None, int], store: Path
) -> None:
    folder = store.parent / "photos"
    for name in ("", "train"):
        write_pictures(folder / name, 1)
        (folder / name / "metadata.csv").write_text("file_name,label\n000.jpg,cat\n")
    assert extract(f"--input={folder}", f"--output={store}", f"--exclude={exclude}")["left_aside"] == 1
    assert labels(store) == found


def test_two_tables_of_a_folder_are_refused(store: Path) -> None:
    folder = store.parent / "photos"
    write_pictures(folder / "train", 1)
    (folder / "train" / "metadata.csv").write_text("file_name,label\n000.jpg,cat\n")
    (folder / "train" / "metadata.jsonl").write_text('{"file_name": "000.jpg", "label": "dog"}')
    sentence = refused(f"--input={folder}")
    assert "/photos/train has several tables of its images, metadata.csv and metadata.jsonl; leave one" in sentence


def test_folders_of_a_manifest_are_columns_by_their_names(store: Path) -> None:
    write_pictures(store.parent / "photos", 3)
    manifest = store.parent / "manifest.parquet"
    places = ("split=train/label=big%20cat", "split=test/label=__HIVE_DEFAULT_PARTITION__", "split=Eval/label=dog")
    for number, place in enumerate(places):
        (manifest / place).mkdir(parents=True)
        table = pa.table({"uri": [f"photos/{number:03}.jpg"], "age": [number]})
        pq.write_table(table, manifest / place / "part-0.snappy.parquet")
    (manifest / "_SUCCESS").touch()
    assert extract(f"--input={manifest}", f"--output={store}")["extracted"] == 3
    assert rows(store, "label", "split", "age") == [
        ("000.jpg", "big cat", "train", 0), ("001.jpg", None, "test", 1), ("002.jpg", "dog", "test", 2),
    ]  # fmt: skip
