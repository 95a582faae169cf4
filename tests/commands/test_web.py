"""Images on the web, and rows that name no image: each is a row of its own; what passes is healed by the next run."""

import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.registry import known_implementations

from pipelines.jobs import find_images
from pipelines.options import Parser, add_extraction_options, add_source_options
from schemas.delta import Scan
from schemas.errors import ImageError, InvalidInput, shown
from schemas.images import ImageRef
from schemas.store import FeatureStore
from tests.conftest import SMALL_BASE, Run, extract, write_pictures
from tests.support.servers import s3_server
from tests.support.web import SILENCE, Answer, Asked, web_server
from tests.unit.transforms.sources.test_sources import refs
from transforms.decoding import MAX_BYTES
from transforms.images import fetch_image

# A server of this machine is asked only where it is named.
NAMED = "--allowed_sources=http://127.0.0.1:*/"
FIGURES = ("listed", "skipped", "extracted", "failed")


def figures(summary: dict[str, Any]) -> tuple[int, ...]:
    return tuple(summary[name] for name in FIGURES)


def failures(store: Path) -> list[dict[str, Any]]:
    return Scan(FeatureStore.open(str(store)).failures()).to_arrow().to_pylist()


def test_what_a_server_refuses_for_a_while_is_healed_by_the_next_run(tmp_path: Path) -> None:
    pictures = {path.name: path.read_bytes() for path in write_pictures(tmp_path / "pictures", 44)}
    busy = {f"/{name}" for name in list(pictures)[:4]}

    def site(asked: Asked) -> Answer:
        if asked.path in busy:
            return Answer(status=429, headers={"Retry-After": "0"})
        return Answer(pictures[asked.path[1:]], headers={"ETag": "e"})

    with web_server(site) as server:
        (tmp_path / "list.txt").write_text("".join(f"{server.url}/{name}\n" for name in pictures))
        options = f"--input={tmp_path}/list.txt", NAMED, f"--output={tmp_path}/store", *SMALL_BASE
        assert figures(extract(*options)) == (44, 0, 40, 4)
        rows = failures(tmp_path / "store")
        assert {(row["code"], row["stage"], row["permanent"]) for row in rows} == {
            ("too_many_requests", "fetch", False)
        }
        busy.clear()
        assert figures(extract(*options)) == (44, 40, 4, 0)
        assert figures(extract(*options)) == (44, 44, 0, 0)


@pytest.mark.parametrize("listed", ["by a manifest", "by the server"])
def test_pictures_that_are_replaced_on_a_server_without_etags_are_superseded(listed: str, tmp_path: Path) -> None:
    pictures = {f"/photos/{path.name}": path.read_bytes() for path in write_pictures(tmp_path / "pictures", 3)}
    changed = ["Wed, 21 Oct 2015 07:28:00 GMT"]
    page = (
        "<html>" + "".join(f'<a href="{name.rpartition("/")[2]}">x</a>' for name in pictures) + '<a href="a.txt">x</a>'
    )

    def site(asked: Asked) -> Answer:
        if asked.path.rstrip("/") == "/photos":
            return Answer(page.encode(), headers={"Content-Type": "text/html"})
        return Answer(pictures[asked.path], headers={"Last-Modified": changed[-1], "Content-Type": "image/jpeg"})

    with web_server(site) as server:
        (tmp_path / "list.txt").write_text("".join(f"{server.url}{name}\n" for name in pictures))
        source = f"{tmp_path}/list.txt" if listed == "by a manifest" else f"{server.url}/photos/"
        options = f"--input={source}", NAMED, f"--output={tmp_path}/store", *SMALL_BASE
        assert figures(extract(*options)) == (3, 0, 3, 0)
        before = FeatureStore.open(f"{tmp_path}/store").scan(["uri", "sha256"]).to_pandas().set_index("uri")
        assert sorted(before.index) == [server.url + name for name in pictures]
        shutil.rmtree(tmp_path / "pictures")
        for path in write_pictures(tmp_path / "pictures", 3, seed=1):
            pictures[f"/photos/{path.name}"] = path.read_bytes()
        changed.append("Thu, 22 Oct 2015 07:28:00 GMT")
        assert figures(extract(*options)) == (3, 0, 3, 0)
        after = FeatureStore.open(f"{tmp_path}/store").scan(["uri", "sha256"]).to_pandas().set_index("uri")
        assert len(after) == 3
        assert not (before["sha256"] == after["sha256"]).any()


@pytest.fixture
def protocol_without_its_package() -> Iterator[str]:
    """A protocol whose file system is in a package that is not installed."""
    known_implementations["absent"] = {"class": "no_such_package.FileSystem", "err": "Please install no_such_package"}
    yield "absent"
    del known_implementations["absent"]


@pytest.fixture
def without_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """S3 without credentials, and without a machine that would have some."""
    import s3fs

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    s3fs.S3FileSystem.clear_instance_cache()
    yield
    s3fs.S3FileSystem.clear_instance_cache()


def test_one_row_never_ends_a_run(tmp_path: Path, protocol_without_its_package: str, without_credentials: None) -> None:
    write_pictures(tmp_path / "pictures", 12)
    bad = {
        "x" * 300 + ".jpg": "invalid_uri",
        "d/" * 3000 + "x.jpg": "invalid_uri",
        "a\0b.jpg": "invalid_uri",
        "": "invalid_uri",
        "http://[bad/x.jpg": "invalid_uri",
        "http://127.0.0.1:99999/x.jpg": "invalid_uri",
        "hdfs2://host/x.jpg": "unknown_protocol",
        "absent://host/x.jpg": "package_missing",
        "zip://nowhere.jpg::nowhere.zip": "not_found",
        "http://no-such-host.invalid/x.jpg": "unknown_host",
        "http://127.0.0.1:9/x.jpg": "connection_refused",
        "s3://bucket/x.jpg": "no_credentials",
        "missing.jpg": "not_found",
    }
    good = [f"pictures/{number:03}.jpg" for number in range(12)]
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"uri": [*good, *bad]}), tmp_path / "m.parquet")
    summary = extract(
        f"--input={tmp_path}/m.parquet", NAMED, f"--output={tmp_path}/store", "--max_failure_ratio=1", *SMALL_BASE
    )
    assert figures(summary) == (25, 0, 12, 13)
    rows = {row["uri"].removeprefix(f"file://{tmp_path}/"): row for row in failures(tmp_path / "store")}
    place = f"m.parquet#row={len(good) + [*bad].index('') + 1}"
    bad[f"zip://nowhere.jpg::file://{tmp_path}/nowhere.zip"] = bad.pop("zip://nowhere.jpg::nowhere.zip")
    assert {uri: row["code"] for uri, row in rows.items()} == {uri or place: code for uri, code in bad.items()}
    for row in rows.values():
        assert row["message"]
        assert "\n" not in row["message"]
        assert row["permanent"] == (row["code"] in {"invalid_uri", "not_found"})


def test_each_bad_row_of_the_cases_is_one_failure(shared: Path, without_credentials: None) -> None:
    manifests = sorted((shared / "cases" / "B6-badrow").iterdir())
    assert len(manifests) > 5
    for manifest in manifests:
        codes = []
        for row in refs(manifest):
            try:
                fetch_image(ImageRef(row["uri"], row["version"], row["_size"]), MAX_BYTES)
            except ImageError as error:
                codes.append(error.code)
        assert len(codes) == 1, manifest


def found(*options: str) -> None:
    parser = Parser("pipelines.extract", "Extracts.")
    add_source_options(parser)
    add_extraction_options(parser)
    find_images(parser.parse_args(options))


WRONG_SOURCES = {
    "an unknown host": ("http://no-such-host.invalid/{}.jpg", "There is no such host"),
    "a server that is down": ("http://127.0.0.1:9/{}.jpg", "The server refuses connections"),
    "no credentials": ("s3://bucket/{}.jpg", "There are no credentials for the storage"),
    "a protocol that there is not": ("hdfs2://host/{}.jpg", "No file system has such a protocol: hdfs2://"),
    "a package that is not installed": (
        "absent://host/{}.jpg",
        "The package of the file system is not installed: Please install no_such_package",
    ),
}


@pytest.mark.parametrize("case", WRONG_SOURCES)
def test_what_is_wrong_with_all_images_is_said_once_and_soon(
    case: str, tmp_path: Path, without_credentials: None, protocol_without_its_package: str
) -> None:
    pattern, sentence = WRONG_SOURCES[case]
    (tmp_path / "list.txt").write_text("".join(pattern.format(number) + "\n" for number in range(50)))
    began = time.monotonic()
    with pytest.raises(InvalidInput) as caught:
        found(f"--input={tmp_path}/list.txt", NAMED)
    assert time.monotonic() - began < 10
    assert str(caught.value).startswith(f"No image of {shown(f'file://{tmp_path}/list.txt')} can be read. {sentence}")
    assert len(str(caught.value)) < 400
    # One image that can be reached is enough to go on.
    write_pictures(tmp_path, 1)
    with (tmp_path / "list.txt").open("a") as file:
        file.write("000.jpg\n")
    found(f"--input={tmp_path}/list.txt")


@pytest.mark.parametrize("place", ["http://no-such-host.invalid/photos/", "https://127.0.0.1:9/a.jpg", "s3://bucket/a"])
def test_an_input_that_cannot_be_reached_is_one_sentence(place: str, run: Run, without_credentials: None) -> None:
    began = time.monotonic()
    done = run("extract", f"--input={place}")
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith(f"error: The input {place} cannot be read. ")
    assert len(done.stderr.splitlines()) == 1
    assert time.monotonic() - began < 20  # Ten, and the start of Python on a busy machine.


@pytest.mark.parametrize("kind", ["folder", "manifest"])
def test_a_bucket_that_is_missing_is_one_sentence(kind: str, run: Run, tmp_path: Path) -> None:
    with s3_server():
        (tmp_path / "list.txt").write_text("s3://no-such-bucket/a.jpg\ns3://no-such-bucket/b.jpg\n")
        source = "list.txt" if kind == "manifest" else "s3://no-such-bucket/photos"
        began = time.monotonic()
        done = run("extract", f"--input={source}")
        assert time.monotonic() - began < 20  # Ten, and the start of Python on a busy machine.
    assert done.returncode == 2, done.stderr
    (sentence,) = done.stderr.splitlines()
    assert sentence.endswith(" be read. There is no bucket no-such-bucket.")


def test_a_server_that_is_silent_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transforms.sources import first_look

    monkeypatch.setattr(first_look, "_SECONDS", 0.3)
    with web_server(lambda asked: SILENCE) as server:
        (tmp_path / "list.txt").write_text(f"{server.url}/a.jpg\n")
        began = time.monotonic()
        found(f"--input={tmp_path}/list.txt", NAMED)
        assert time.monotonic() - began < 3


def test_formats_are_named_as_files_are(run: Run, tmp_path: Path) -> None:
    write_pictures(tmp_path / "pictures", 2)
    options = f"--input={tmp_path}/pictures", f"--output={tmp_path}/store", *SMALL_BASE
    assert figures(extract(*options, "--formats=JPG")) == (2, 0, 2, 0)
    done = run("extract", *options, "--formats=JPGE")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "'JPGE' is no format that Pillow reads; did you mean 'JPEG'" in done.stderr


def test_truncated_pictures_are_kept_where_the_store_says_so(run: Run, tmp_path: Path) -> None:
    paths = write_pictures(tmp_path / "pictures", 4)
    paths[0].write_bytes(paths[0].read_bytes()[:-300])
    options = f"--input={tmp_path}/pictures", "--max_failure_ratio=1", *SMALL_BASE
    assert figures(extract(*options, f"--output={tmp_path}/fail")) == (4, 0, 3, 1)
    assert figures(extract(*options, "--truncated=keep", f"--output={tmp_path}/keep")) == (4, 0, 4, 0)
    stores = [FeatureStore.open(f"{tmp_path}/{name}") for name in ("fail", "keep")]
    assert stores[0].spec.fingerprint != stores[1].spec.fingerprint
    done = run("extract", *options, f"--output={tmp_path}/fail", "--truncated=keep")
    assert done.returncode == 2
    assert "truncated is fail in the store, keep was asked" in done.stderr


def test_fsspec_is_left_as_it_is() -> None:
    from schemas.storage import file_system

    file_system("https://host/a.jpg")
    assert fsspec.get_filesystem_class("https").__module__ == "fsspec.implementations.http"
    assert "schemas.storage.web" in sys.modules
