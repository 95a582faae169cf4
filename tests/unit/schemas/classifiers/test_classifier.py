"""A classifier's folder holds one classifier, whole: after a kill or a fault at any write; what is damaged is named."""

import contextlib
import dataclasses
import errno
import functools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem

from schemas.classifiers import CARD_FILE, Classifier, add_file, holds_classifier, publish_classifier
from schemas.classifiers import classifier as classifier_module
from schemas.errors import ConvbaseError, DamagedModel, ModelNotFound, RunFailed
from schemas.storage import file_system, write_file
from tests.support.changes import killed_at_each_change
from tests.unit.schemas.test_serialisation import CARD, LABELS

OLD = {
    "openvino/classifier.xml": b"<net/>",
    "openvino/classifier.bin": b"weights" * 100,
    "classifier.keras": b"old keras" * 50,
    "labels.json": LABELS.to_json().encode(),
    "report.html": b"<html>old</html>",
    "leaderboard.csv": b"rank\n1\n",
}
NEW = {name: content.replace(b"old", b"new") for name, content in OLD.items() if name != "leaderboard.csv"} | {
    "openvino/classifier.bin": b"others" * 100,
    "base.weights.h5": b"tuned",
}
CONTENTS = {"old": OLD, "new": NEW}
DAMAGES: dict[str, Callable[[bytes], bytes | None]] = {
    "emptied": lambda _: b"",
    "cut in half": lambda content: content[: len(content) // 2],
    "one bit flipped": lambda content: content[:3] + bytes([content[3] ^ 16]) + content[4:],
    "missing": lambda _: None,
}


def publish(uri: str, name: str) -> None:
    publish_classifier(uri, dataclasses.replace(CARD, model_id=name), CONTENTS[name])


def whole(uri: str) -> str:
    """Returns which classifier is in a folder; each of its files is its own."""
    found = Classifier.open(uri)
    contents = CONTENTS[found.card.model_id]
    assert {name: found.files.read(name) for name in found.files.by_name} == contents
    return found.card.model_id


def files_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def add_page(uri: str) -> None:
    add_file(uri, Classifier.open(uri).card, "further.html", b"<html>further</html>")


def test_a_file_is_added_to_a_classifier_that_stays_whole_meanwhile(tmp_path: Path) -> None:
    publish(f"{tmp_path}/model", "old")
    found = []
    for folder in killed_at_each_change(tmp_path / "model", tmp_path / "states", add_page):
        classifier = Classifier.open(str(folder))
        contents = {name: classifier.files.read(name) for name in classifier.files.by_name}
        found.append("further.html" in contents)
        assert contents == {**OLD, **({"further.html": b"<html>further</html>"} if found[-1] else {})}
    assert found
    add_page(f"{tmp_path}/model")
    assert Classifier.open(f"{tmp_path}/model").files.read("further.html") == b"<html>further</html>"


def test_a_file_is_not_added_to_another_classifier(tmp_path: Path) -> None:
    publish(str(tmp_path), "old")
    card = Classifier.open(str(tmp_path)).card
    publish(str(tmp_path), "new")
    with pytest.raises(RunFailed, match=r"Another training has replaced the classifier in .*; more\.html is not"):
        add_file(str(tmp_path), card, "more.html", b"more")
    assert whole(str(tmp_path)) == "new"


def test_a_classifier_that_replaces_another_has_the_usual_names_and_nothing_else_is_left(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    publish(str(tmp_path), "old")
    assert files_in(tmp_path) == {*OLD, CARD_FILE, "notes.txt"}
    publish(f"file://{tmp_path}", "new")
    assert whole(str(tmp_path)) == "new"
    assert files_in(tmp_path) == {*NEW, CARD_FILE, "notes.txt"}
    assert {name: (tmp_path / name).read_bytes() for name in NEW} == NEW


def test_a_kill_at_any_change_leaves_the_old_or_the_new_one(tmp_path: Path) -> None:
    publish(str(tmp_path / "before"), "old")
    folders = killed_at_each_change(tmp_path / "before", tmp_path / "states", functools.partial(publish, name="new"))
    found = [whole(str(folder)) for folder in folders]
    for folder in folders[::5]:
        publish(str(folder), "new")
        assert whole(str(folder)) == "new"
        assert files_in(folder) - {"leaderboard.csv"} == {*NEW, CARD_FILE}
    assert found == sorted(found, reverse=True), "Once the new one is there it stays."
    assert found.count("old") > 2 * len(NEW)
    assert found.count("new") > 3 * len(NEW)
    print(f"{len(found)} changes")


def test_a_first_one_that_is_killed_is_none(tmp_path: Path) -> None:
    folders = killed_at_each_change(None, tmp_path / "states", functools.partial(publish, name="old"))
    *unfinished, last = folders
    assert len(unfinished) > 2 * len(OLD)
    assert whole(str(last)) == "old", "Killed once its card has its name."
    for folder in unfinished:
        assert not holds_classifier(str(folder))
        with pytest.raises(ModelNotFound, match=r"no model_card\.json"):
            Classifier.open(str(folder))
    publish(str(unfinished[-2]), "new")
    assert files_in(unfinished[-2]) - {"leaderboard.csv"} == {*NEW, CARD_FILE}


@pytest.mark.parametrize("place", ["disk", "memory"])
def test_a_fault_of_the_storage_at_any_write_leaves_the_old_or_the_new_one(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Storage without renames is one of them."""
    number, failed = 0, True
    while failed:
        uri = f"{tmp_path}/{number}" if place == "disk" else f"memory://models/{number}"
        publish(uri, "old")
        writes = iter(range(number))

        def write(file_uri: str, data: bytes, left: object = writes) -> None:
            if next(left, None) is None:  # type: ignore[call-overload]
                raise OSError(errno.ENOSPC, "No space left on device")
            write_file(file_uri, data)

        with monkeypatch.context() as patch:
            patch.setattr(classifier_module, "write_file", write)
            with contextlib.suppress(OSError):
                publish(uri, "new")
                failed = False
        expected = "new" if number > len(NEW) else "old"
        assert whole(uri) == expected
        fs, root = file_system(uri)
        assert any("replacement-" in path for path in fs.find(root)) == (failed and expected == "new")
        number += 1
    assert number == 2 * (len(NEW) + 1) + 1
    fsspec.filesystem("memory").store.clear()


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_named_in_one_sentence(damage: str, tmp_path: Path) -> None:
    for name in (*NEW, CARD_FILE):
        folder = tmp_path / name.replace("/", "-")
        publish(str(folder), "new")
        changed = DAMAGES[damage]((folder / name).read_bytes())
        if changed is None:
            (folder / name).unlink()
        else:
            (folder / name).write_bytes(changed)
        with pytest.raises(ConvbaseError, match=Path(name).name) as caught:
            whole(str(folder))
        assert "\n" not in str(caught.value)
        assert "train" in str(caught.value)
        assert isinstance(caught.value, ModelNotFound if (name, damage) == (CARD_FILE, "missing") else DamagedModel)


def test_a_card_is_read_without_the_networks_and_says_all_the_same_what_is_missing(tmp_path: Path) -> None:
    publish(str(tmp_path), "new")
    with read_files() as names:
        Classifier.open(str(tmp_path))
    assert names == [CARD_FILE, "labels.json"]
    for change, said in (
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "it has 599 bytes, 600 were written"),
        (Path.unlink, "it is missing"),
    ):
        change(tmp_path / "openvino" / "classifier.bin")
        with pytest.raises(DamagedModel, match=said):
            Classifier.open(str(tmp_path))


@contextlib.contextmanager
def read_files() -> Iterator[list[str]]:
    """The names of the files that are read meanwhile."""
    names: list[str] = []
    cat_file = LocalFileSystem.cat_file

    def read(self: LocalFileSystem, path: str, *arguments: object, **named: object) -> bytes:
        names.append(Path(path).name)
        return cast("bytes", cat_file(self, path, *arguments, **named))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LocalFileSystem, "cat_file", read)
        yield names


def test_any_bit_of_a_card_that_is_flipped_is_noticed(tmp_path: Path) -> None:
    publish(str(tmp_path), "new")
    content = (tmp_path / CARD_FILE).read_bytes()
    for place in range(0, len(content), 7):
        flipped = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
        (tmp_path / CARD_FILE).write_bytes(flipped)
        with pytest.raises(DamagedModel, match=CARD_FILE):
            Classifier.open(str(tmp_path))


def test_a_file_of_another_classifier_is_refused(tmp_path: Path) -> None:
    for name in CONTENTS:
        publish(f"{tmp_path}/{name}", name)
    shutil.copy(tmp_path / "old" / "classifier.keras", tmp_path / "new" / "classifier.keras")
    with pytest.raises(DamagedModel, match=r"new/classifier\.keras is not the file .* its SHA-256 differs"):
        whole(f"{tmp_path}/new")


def test_what_was_opened_refuses_the_files_of_one_that_took_its_place(tmp_path: Path) -> None:
    publish(str(tmp_path / "model"), "old")
    opened = Classifier.open(str(tmp_path / "model"))
    publish(str(tmp_path / "model"), "new")
    (tmp_path / "networks").mkdir()
    with pytest.raises(DamagedModel, match=r"classifier\.bin .*If the classifier was replaced meanwhile, start again"):
        opened.files.fetch_networks(("classifier.xml", "classifier.bin"), tmp_path / "networks")


def test_one_that_takes_the_place_while_the_old_one_is_opened_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(str(tmp_path), "old")
    read = classifier_module._read_card

    def overtaken(uri: str) -> object:
        card = read(uri)
        monkeypatch.setattr(classifier_module, "_read_card", read)
        publish(uri, "new")
        return card

    monkeypatch.setattr(classifier_module, "_read_card", overtaken)
    assert whole(str(tmp_path)) == "new"
