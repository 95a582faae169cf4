"""Archives through the commands: what is extracted from them, what supersedes it, and what is trained on it."""

import json
import shutil
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from pipelines import extract as extract_command
from pipelines import predict as predict_command
from schemas.delta import Scan
from schemas.errors import InvalidInput
from schemas.fragments import TableName
from schemas.store import FeatureStore, PredictionTables
from tests.conftest import SMALL_BASE, extract, train, write_pictures
from tests.support.archives import write_tar, write_zip
from tests.support.servers import s3_server

FORMS = ("clean.zip", "./clean.zip", "zip://::clean.zip", "zip://*/*/*.jpg::clean.zip", "*.zip", "m.csv")


@pytest.fixture
def archives(shared: Path) -> Path:
    folder = shared / "cases" / "D-archives"
    if not folder.is_dir():
        pytest.skip(f"needs the archives in {folder}, which is absent")
    return folder


def rows(store: object, *columns: str) -> dict[str, Any]:
    """What the table holds of each image, by its URI: a column, or several."""
    found = FeatureStore.open(str(store)).scan(["uri", *columns]).to_arrow().to_pylist()
    values = {row.pop("uri"): tuple(row.values()) for row in found}
    assert len(values) == len(found)
    return values


def failures(store: object) -> dict[str, tuple[str, str]]:
    table = Scan(FeatureStore.open(str(store)).failures()).to_arrow().to_pylist()
    return {row["uri"]: (row["code"], row["message"]) for row in table}


def test_an_archive_has_one_row_a_picture_by_whatever_name(
    archives: Path, empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(archives / "clean.zip", tmp_path)
    with zipfile.ZipFile("clean.zip") as archive:
        named = [f"zip://{name}::clean.zip" for name in archive.namelist()]
    (tmp_path / "m.csv").write_text("\n".join(["uri", *named]))
    options = (f"--output={empty_store}", "--labels_from=parent")
    first = extract(*(f"--input={form}" for form in FORMS), *options)
    assert (first["listed"], first["extracted"], first["failed"]) == (16, 16, 0)
    found = rows(empty_store, "label", "split")
    assert found[f"zip://validation/dogs/3.jpg::file://{tmp_path}/clean.zip"] == ("dogs", "validation")
    assert {values: list(found.values()).count(values) for values in found.values()} == {
        (label, split): 4 for label in ("cats", "dogs") for split in ("train", "validation")
    }
    for form in FORMS:
        again = extract(f"--input={form}", *options)
        assert (again["listed"], again["skipped"], again["extracted"]) == (16, 16, 0), form


def test_an_archive_that_was_written_anew_supersedes_what_has_changed(
    archives: Path, empty_store: Path, tmp_path: Path
) -> None:
    path = tmp_path / "photos.zip"
    shutil.copy(archives / "clean.zip", path)
    extract(f"--input={path}", f"--output={empty_store}")
    before = rows(empty_store, "sha256")
    with zipfile.ZipFile(archives / "change.zip") as other, zipfile.ZipFile(archives / "clean.zip") as same:
        members = {name: other.read(name) for name in other.namelist()}
        members["train/cats/0.jpg"] = same.read("train/cats/0.jpg")
    write_zip(path, members)
    summary = extract(f"--input={path}", f"--output={empty_store}")
    assert (summary["skipped"], summary["extracted"], summary["failed"]) == (1, 15, 0)
    after = rows(empty_store, "sha256")
    assert [uri for uri in before if before[uri] == after[uri]] == [f"zip://train/cats/0.jpg::file://{path}"]


@pytest.mark.parametrize(
    ("name", "found", "ignored"),
    [
        ("backslash.zip", {"cats": 3, "dogs": 3}, 0),
        ("pets.zip", {"cats": 6, "dogs": 6}, 1),
        ("shard.tar", {"0": 4, "1": 4}, 0),
        ("shard.tar.gz", {"0": 4, "1": 4}, 0),
    ],
)
def test_labels_are_those_in_the_archive(
    name: str, found: dict[str, int], ignored: int, archives: Path, empty_store: Path
) -> None:
    summary = extract(f"--input={archives}/{name}", "--labels_from=parent", f"--output={empty_store}")
    labels = [label for (label,) in rows(empty_store, "label").values()]
    assert {label: labels.count(label) for label in labels} == found
    assert (summary["failed"], summary["left_aside"]) == (0, ignored)


def test_shards_have_the_members_of_few_archives(
    empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And read no directory: the listing has said where they are."""
    from transforms.extraction import shard as extraction_shard

    pictures = [path.read_bytes() for path in write_pictures(tmp_path / "pictures", 8)]
    for number in range(6):
        write_tar(tmp_path / f"{number}.tar", {f"{row}.jpg": picture for row, picture in enumerate(pictures)})
    opened: list[object] = []
    original = tarfile.TarFile.__init__

    def counted(self: tarfile.TarFile, *args: Any, **kwargs: Any) -> None:
        opened.append(self)
        original(self, *args, **kwargs)

    shards: list[set[str]] = []
    load = extraction_shard.load_batches

    def noted(shard: Any, *args: Any, **kwargs: Any) -> Any:
        shards.append({uri.partition("::")[2] for uri in shard.column("uri").to_pylist()})
        return load(shard, *args, **kwargs)

    monkeypatch.setattr(tarfile.TarFile, "__init__", counted)
    monkeypatch.setattr(extraction_shard, "load_batches", noted)
    summary = extract(f"--input={tmp_path}/{{0..5}}.tar", f"--output={empty_store}", "--shard_size=8", "--reuse=none")
    assert summary["extracted"] == 48
    assert [len(shard) for shard in shards] == [1] * 6
    # One look at the first shard's columns, one for an image at all, and one to list each of them.
    assert len(opened) == 8


def test_a_damaged_member_or_archive_is_a_row_and_the_rest_is_extracted(empty_store: Path, tmp_path: Path) -> None:
    pictures = [path.read_bytes() for path in write_pictures(tmp_path / "pictures", 6)]
    names = [f"cats/{number}.jpg" for number in range(6)]
    folder = tmp_path / "in"
    folder.mkdir()
    write_zip(folder / "a.zip", dict(zip(names, pictures, strict=True)))
    (folder / "a.zip").write_bytes((folder / "a.zip").read_bytes().replace(pictures[2], bytes(len(pictures[2]))))
    (folder / "b.zip").write_bytes((folder / "a.zip").read_bytes()[:-40])
    cut = write_tar(folder / "c.tar", dict(zip(names, pictures, strict=True))).read_bytes()
    (folder / "c.tar").write_bytes(cut[: cut.index(pictures[4]) + 50])
    summary = extract(f"--input={folder}", f"--output={empty_store}", "--labels_from=parent", "--max_failure_ratio=0.5")
    assert (summary["extracted"], summary["failed"]) == (9, 4)
    assert {uri: code for uri, (code, _) in failures(empty_store).items()} == {
        f"zip://cats/2.jpg::file://{folder}/a.zip": "damaged_archive",
        f"zip://::file://{folder}/b.zip": "damaged_archive",
        f"tar://cats/4.jpg::file://{folder}/c.tar": "unreadable",
        f"tar://::file://{folder}/c.tar": "damaged_archive",
    }
    with pytest.raises(InvalidInput, match=r"cannot be read\. The archive is damaged") as caught:
        extract_command.main([f"--input={folder}/b.zip", f"--output={empty_store}"])
    assert len(str(caught.value)) < 400


def photographs(shared: Path, split: str, label: str, count: int) -> list[Path]:
    return sorted((shared / "images" / "dogs_vs_cats" / split / label).iterdir())[:count]


def of_a_classifier(source: str, columns: tuple[str, ...], weights: Path, folder: Path) -> dict[str, Any]:
    """The metrics of a classifier on the pictures of an input, and what predicting them again gives."""
    summary = extract(
        f"--input={source}", "--labels_from=parent", "--conv_base=MobileNet", "--conv_base_arg=alpha=0.25",
        f"--weights={weights}", f"--output={folder}/store",
    )  # fmt: skip
    assert (summary["extracted"], summary["failed"]) == (240, 0)
    found = rows(folder / "store", *columns)
    assert all(None not in values for values in found.values())
    metrics = train(f"--features={folder}/store", f"--output={folder}/model", "--test_fraction=0")
    assert metrics["images"] == {"train": 160, "validation": 80}
    assert "data:image/jpeg" in (folder / "model" / "report.html").read_text()
    predict_command.main(
        [f"--model={folder}/model", f"--input={source}", f"--output={folder}/scores", "--runner=DirectRunner"]
    )
    predictions = PredictionTables(f"{folder}/scores").table(TableName.PREDICTIONS)
    assert sorted(Scan(predictions, ["uri"]).to_arrow()["uri"].to_pylist()) == sorted(found)
    return metrics


def classes(folder: Path) -> list[str]:
    found: list[str] = json.loads((folder / "model" / "labels.json").read_text())["classes"]
    return found


def test_a_classifier_of_photographs_in_a_zip(shared: Path, mobilenet_weights: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "photos.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for split, count in (("train", 80), ("validation", 40)):
            for label in ("cats", "dogs"):
                for path in photographs(shared, split, label, count):
                    archive.write(path, f"pets/{split}/{label}/{path.name}")
    metrics = of_a_classifier(f"{tmp_path}/photos.zip", ("label", "split"), mobilenet_weights, tmp_path)
    assert classes(tmp_path) == ["cats", "dogs"]
    assert metrics["validation_accuracy"] >= 0.9


def test_a_classifier_of_photographs_in_webdataset_shards(
    shared: Path, mobilenet_weights: Path, tmp_path: Path
) -> None:
    for number, (split, ending) in enumerate((("train", "tar"), ("train", "tar"), ("val", "tar"))):
        members: dict[str, bytes] = {}
        for label, name in enumerate(("cats", "dogs")):
            folder = "train" if split == "train" else "validation"
            for row, path in enumerate(photographs(shared, folder, name, 80)[number * 40 % 80 :][:40]):
                key = f"{number:03}{row:03}{label}"
                said = {"split": split, "caption": f"one of the {name}", "width": 1, "row": row}
                members |= {
                    f"{key}.jpg": path.read_bytes(),
                    f"{key}.cls": str(label).encode(),
                    f"{key}.json": json.dumps(said).encode(),
                }
        write_tar(tmp_path / f"pets-{number:03}.{ending}", members)
    metrics = of_a_classifier(
        f"{tmp_path}/pets-{{000..002}}.tar", ("label", "split", "caption", "row"), mobilenet_weights, tmp_path
    )
    assert classes(tmp_path) == ["0", "1"]
    assert metrics["validation_accuracy"] >= 0.9


def test_archives_and_store_in_a_bucket(tmp_path: Path) -> None:
    import boto3

    pictures = {f"cats/{path.name}": path.read_bytes() for path in write_pictures(tmp_path / "pictures", 6)}
    with s3_server() as server:
        client = boto3.client("s3")
        for name, write in (("a.zip", write_zip), ("b.tar", write_tar), ("c.tar.gz", write_tar)):
            client.upload_file(str(write(tmp_path / name, pictures)), server.bucket, f"in/{name}")
        options = (f"--output=s3://{server.bucket}/store", "--labels_from=parent", *SMALL_BASE)
        arguments = [f"--input=s3://{server.bucket}/in", *options, "--runner=DirectRunner"]
        for extracted, skipped in ((18, 0), (0, 18)):
            summary = tmp_path / "summary.json"
            assert extract_command.main([*arguments, f"--summary={summary}"]) == 0
            figures = json.loads(summary.read_text())
            assert (figures["extracted"], figures["skipped"], figures["failed"]) == (extracted, skipped, 0)
        found = rows(f"s3://{server.bucket}/store", "label")
    assert set(found.values()) == {("cats",)}
    assert f"zip://cats/000.jpg::s3://{server.bucket}/in/a.zip" in found
