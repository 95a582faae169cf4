"""Archives and data sets on a web server: inputs as those on a disk are, read in parts, or one sentence."""

import gzip
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines import extract as extract_command
from schemas.errors import InvalidInput
from schemas.images import image_refs
from schemas.store import FeatureStore
from tests.commands.test_archives import rows
from tests.conftest import extract, write_pictures
from tests.support.archives import write_tar, write_zip
from tests.support.data_sets import example, write_image_table, write_records
from tests.support.web import Answer, Asked, WebServer, folder_site, web_server
from tests.unit.transforms.sources.test_archive_sources import batches
from transforms.images import fetch_image
from transforms.sources import ListingRules, find_sources, take_first_look

CLASSES = ("cat", "dog")


def write_site(root: Path) -> Path:
    """Six forms of the same four pictures, a folder each."""
    pictures = [path.read_bytes() for path in write_pictures(root.parent / "pictures", 4)]
    labels = [CLASSES[number % 2] for number in range(4)]
    for name in ("zip", "tar", "tgz", "tables", "records", "folder/train"):
        (root / name).mkdir(parents=True)
    numbered = list(enumerate(zip(labels, pictures, strict=True)))
    write_zip(root / "zip" / "my photos.zip", {f"pets/{label}/{row}.jpg": data for row, (label, data) in numbered})
    for shard in range(2):
        members = {}
        for row, (label, data) in numbered[2 * shard : 2 * shard + 2]:
            members |= {f"{row}.jpg": data, f"{row}.cls": label.encode(), f"{row}.json": b'{"camera": "left"}'}
        write_tar(root / "tar" / f"pets-{shard:03}.tar", members)
    write_tar(root / "tgz" / "pets.tar.gz", {f"{label}/{row}.jpg": data for row, (label, data) in numbered})
    cells = [{"bytes": data, "path": None} for data in pictures]
    numbers = [CLASSES.index(label) for label in labels]
    write_image_table(root / "tables" / "train-00000-of-00001.parquet", cells, {"label": CLASSES}, label=numbers)
    records = [example({"image/encoded": data, "image/class/text": label.encode()}) for _, (label, data) in numbered]
    packed = write_records(root / "records" / "train.tfrecord.gz", records)
    packed.write_bytes(gzip.compress(packed.read_bytes()))
    lines = []
    for row, (label, data) in numbered:
        (root / "folder" / "train" / f"{row} a.jpg").write_bytes(data)
        lines.append(json.dumps({"file_name": f"{row} a.jpg", "label": label}))
    (root / "folder" / "train" / "metadata.jsonl").write_text("\n".join(lines))
    return root


@pytest.fixture
def site(tmp_path: Path) -> Iterator[WebServer]:
    with web_server(folder_site(write_site(tmp_path / "site"))) as server:
        yield server


FORMS = {
    "zip/my%20photos.zip": "--labels_from=parent",
    "zip/my%20photos.zip?signature=a/b": "--labels_from=parent",
    "zip/": "--labels_from=parent",
    "tar/pets-{000..001}.tar": "--carry=camera",
    "tar/*.tar": "--carry=camera",
    "tgz/pets.tar.gz": "--labels_from=parent",
    "tables/train-00000-of-00001.parquet": "--carry=none",
    "tables/": "--carry=none",
    "records/train.tfrecord.gz": "--carry=none",
    "records/": "--carry=none",
    "folder/": "--carry=none",
}


@pytest.mark.parametrize("form", FORMS)
def test_what_is_on_a_server_is_an_input_as_on_a_disk(form: str, site: WebServer, empty_store: Path) -> None:
    options = (f"--input={site.url}/{form}", FORMS[form], f"--output={empty_store}", "--reuse=none")
    for extracted, skipped in ((4, 0), (0, 4)):
        summary = extract(*options)
        assert (summary["listed"], summary["extracted"], summary["skipped"]) == (4, extracted, skipped)
        assert (summary["failed"], summary["labels_updated"]) == (0, 0)
    assert sorted(rows(empty_store, "label").values()) == [("cat",), ("cat",), ("dog",), ("dog",)]


def test_an_archive_that_was_written_anew_on_a_server_is_superseded(
    site: WebServer, empty_store: Path, tmp_path: Path
) -> None:
    options = (
        f"--input={site.url}/zip/my%20photos.zip",
        f"--input={site.url}/tgz/pets.tar.gz",
        f"--output={empty_store}",
    )
    assert extract(*options)["extracted"] == 8
    before = rows(empty_store, "sha256")
    others = {f"pets/cat/{row}.jpg": path.read_bytes() for row, path in enumerate(write_pictures(tmp_path / "p", 3, 7))}
    write_zip(tmp_path / "site" / "zip" / "my photos.zip", others)
    write_tar(
        tmp_path / "site" / "tgz" / "pets.tar.gz", {name.removeprefix("pets/"): data for name, data in others.items()}
    )
    summary = extract(*options)
    assert (summary["listed"], summary["extracted"]) == (6, 6)
    after = rows(empty_store, "sha256")
    changed = [uri for uri in before if after[uri] != before[uri]]
    assert sorted(uri.partition("::")[0] for uri in changed) == [
        "tar://cat/0.jpg", "tar://cat/2.jpg", "zip://pets/cat/0.jpg", "zip://pets/cat/2.jpg",
    ]  # fmt: skip


def test_parts_are_asked_for_and_no_more_than_they_are(tmp_path: Path) -> None:
    """The directory of a ZIP archive, and then each member; a tar from its beginning on, some at a time."""
    members = {f"{row}.jpg": os.urandom(300_000) for row in range(20)}
    write_zip(tmp_path / "a.zip", members)
    write_tar(tmp_path / "a.tar", members)
    with web_server(folder_site(tmp_path)) as server:
        for name, most in (("a.zip", 8 * 2**20), ("a.tar", 20 * 2**20)):
            server.sent = 0
            server.asked.clear()
            found = [fetch_image(ref, 10**6) for batch in batches(f"{server.url}/{name}") for ref in image_refs(batch)]
            assert found == list(members.values())
            assert server.sent <= most
            assert all(asked.range for asked in server.asked if asked.method == "GET")


WHOLE = (
    "zip/my%20photos.zip",
    "zip/",
    "tar/pets-000.tar",
    "tgz/pets.tar.gz",
    "tables/train-00000-of-00001.parquet",
    "records/train.tfrecord.gz",
)


@pytest.mark.parametrize("name", WHOLE)
def test_a_server_that_sends_whole_files_alone_is_one_sentence(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("schemas.storage.attempts._FIRST_PAUSE_SECONDS", 0.001)
    with web_server(folder_site(write_site(tmp_path / "site"), sends_parts=False)) as server:
        with pytest.raises(InvalidInput) as caught:
            extract_command.main([f"--input={server.url}/{name}", f"--output={tmp_path}/store"])
        assert len(str(caught.value)) <= 400
        assert "cannot be read" in str(caught.value)
        assert "its server sends whole files and no parts of them; copy it to this machine" in str(caught.value)
        assert not (tmp_path / "store").exists()


def test_manifests_are_read_from_any_server(tmp_path: Path, empty_store: Path) -> None:
    """Also from one that neither sends parts nor says how long a file is."""
    pictures = write_pictures(tmp_path / "site", 3)
    filler = "x" * 2_000_000
    texts = {
        "m.csv": "uri,label,note\n" + "".join(f"{path.name},cat,{filler}\n" for path in pictures),
        "m.jsonl": "".join(json.dumps({"uri": path.name, "label": "cat", "note": filler}) + "\n" for path in pictures),
        "m.txt": "".join(f"{path.name}\n\n{' ' * 2_000_000}\n" for path in pictures),
        "m.csv.gz": "",
    }
    bodies = {f"/{name}": text.encode() for name, text in texts.items()}
    bodies["/m.csv.gz"] = gzip.compress(bodies["/m.csv"])

    def pieces(content: bytes) -> Iterator[bytes]:
        yield from (content[start : start + 100_000] for start in range(0, len(content), 100_000))

    def answer(asked: Asked) -> Answer:
        found = bodies.get(asked.path)
        return folder_site(tmp_path / "site", sends_parts=False)(asked) if found is None else Answer(pieces(found))

    with web_server(answer) as server:
        for name in texts:
            summary = extract(f"--input={server.url}/{name}", f"--output={empty_store}", "--carry=none")
            assert (summary["listed"], summary["failed"]) == (3, 0), name
    assert set(rows(empty_store, "label").values()) == {("cat",)}


def test_a_server_at_fault_for_a_moment_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("schemas.storage.attempts._FIRST_PAUSE_SECONDS", 0.001)
    members = {f"{row}.jpg": os.urandom(200_000) for row in range(20)}
    write_tar(tmp_path / "a.tar.gz", members)
    write_zip(tmp_path / "a.zip", members)
    files = folder_site(tmp_path)
    turns = iter(range(10**6))

    def shaky(asked: Asked) -> Answer:
        is_bad = asked.range is not None and next(turns) % 3 == 0
        return Answer(status=503) if is_bad else files(asked)

    with web_server(shaky) as server:
        for name in ("a.tar.gz", "a.zip"):
            found = [fetch_image(ref, 10**6) for batch in batches(f"{server.url}/{name}") for ref in image_refs(batch)]
            assert found == list(members.values())


def test_what_is_missing_on_a_server_is_named(tmp_path: Path) -> None:
    with web_server(folder_site(tmp_path)) as server:
        for name in ("a.zip", "a.zip?signature=x", "a-{0..1}.tar", "a.tfrecord"):
            with pytest.raises(InvalidInput, match=r"^There is no input at http://"):
                find_sources([f"{server.url}/{name}"])
        (source,) = find_sources([f"{server.url}/"])
        assert not take_first_look([source], ListingRules())
        shutil.copy(write_zip(tmp_path / "b.zip", {"a.txt": b""}), tmp_path / "c.zip")
        assert not take_first_look(find_sources([f"{server.url}/*.zip"]), ListingRules())


def test_a_store_names_members_by_the_url_of_their_archive(site: WebServer, empty_store: Path) -> None:
    extract(f"--input=zip://pets/cat::{site.url}/zip/my%20photos.zip", f"--output={empty_store}")
    found = FeatureStore.open(str(empty_store)).scan(["uri"]).to_arrow()["uri"].to_pylist()
    assert sorted(found) == [f"zip://pets/cat/{row}.jpg::{site.url}/zip/my%20photos.zip" for row in (0, 2)]
