"""URIs written on purpose: each is a row or a sentence, and no run ends of one, waits for it or is deceived."""

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.predict import main as predict
from pipelines.train import main as train
from schemas.delta import Scan
from schemas.errors import FailureCode, InvalidInput
from schemas.store import FeatureStore
from tests.conftest import SMALL_BASE, extract, write_pictures
from tests.support.web import Answer, WebServer, web_server

# By the codes that they may have: what is refused is never asked for.
REFUSED = (
    "http://[fe80::1%25eth0]/a.jpg", "zip://", "ftp://127.0.0.1:21/a.jpg",
    "file:///proc/self/environ", "file:///proc/1/../self/environ", "/proc/self/cwd/000.jpg", "/proc/self/fd/0",
    "file:///sys/kernel/notes", "file:///dev/zero", "/dev/stdin", "/dev/../proc/version", "//proc/self/maps",
    "file:////proc/self/maps", "file:///./proc/self/maps", "/photos/../proc/self/maps", "local:///etc/hostname",
    "LOCAL:///etc/hostname", "local://etc/hostname", "memory://a.jpg", "MEMORY://a.jpg", "memory:///../a.jpg",
    "simplecache::file:///etc/passwd", "SimpleCache::file:///etc/passwd", "filecache::memory://a.jpg",
    "blockcache::https://example.invalid/a.jpg", "reference://::file:///etc/hostname", "dir::file:///etc/hostname",
    "zip://a.jpg::simplecache::file:///a.zip", "zip://a.jpg::zip://b.zip::file:///c.zip",
    "zip://a.jpg::file:///proc/self/environ", "tar://a.jpg::/dev/zero", "tfrecord://0::file:///proc/self/environ",
    "parquet://image-0::http://169.254.169.254/a.parquet", "zip://a.jpg::http://127.0.0.1/a.zip",
    "http://127.0.0.1/a.jpg", "http://127.1/a.jpg", "http://2130706433/a.jpg", "http://0x7f000001/a.jpg",
    "http://0x7f.1/a.jpg", "http://017700000001/a.jpg", "http://0177.0.0.1/a.jpg", "http://0/a.jpg",
    "http://0.0.0.0/a.jpg", "http://127.0.0.1:80/a.jpg", "http://127.0.0.1:/a.jpg", "HTTP://127.0.0.1/a.jpg",
    "hTTpS://127.0.0.1/a.jpg", "http://127.0.0.1./a.jpg", "http://localhost/a.jpg", "http://LOCALHOST/a.jpg",
    "http://localhost./a.jpg", "http://a.localhost/a.jpg", "http://[::1]/a.jpg", "http://[0:0:0:0:0:0:0:1]/a.jpg",
    "http://[::]/a.jpg", "http://[::ffff:127.0.0.1]/a.jpg", "http://[::ffff:7f00:1]/a.jpg",
    "http://[::127.0.0.1]/a.jpg", "http://[64:ff9b::7f00:1]/a.jpg", "http://[2002:7f00:1::]/a.jpg",
    "http://[fe80::1]/a.jpg", "http://[fd00::1]/a.jpg", "http://[fec0::1]/a.jpg", "http://[ff02::1]/a.jpg",
    "http://10.0.0.1/a.jpg", "http://172.16.0.1/a.jpg", "http://192.168.0.1/a.jpg", "http://100.64.0.1/a.jpg",
    "http://224.0.0.1/a.jpg", "http://255.255.255.255/a.jpg", "http://169.254.169.254/latest/meta-data/",
    "http://2852039166/latest/", "http://[fd00:ec2::254]/latest/",
    "http://metadata.google.internal/computeMetadata/v1/", "http://metadata/", "http://user@127.0.0.1/a.jpg",
    "http://user:pass@10.0.0.1/a.jpg", "http://example.invalid@127.0.0.1/a.jpg",
    "http://example.invalid:80@127.0.0.1/", "http://example.invalid%40@127.0.0.1/a.jpg",
    "http://127.0.0.1?@example.invalid/a.jpg", "http://127.0.0.1#@example.invalid/a.jpg",
    "http://\uff11\uff12\uff17.0.0.1/a.jpg", "http://127\u30020\u30020\u30021/a.jpg",
    "http://\u24db\u24de\u24d2\u24d0\u24db\u24d7\u24de\u24e2\u24e3/a.jpg", "ftp://127.0.0.1/a.jpg",
)  # fmt: skip
FAILED = (
    "parquet://", "data:image/png;base64,iVBORw0KGgo=", "file:a.jpg", "file:/nowhere/a.jpg", "s3:bucket/a.jpg",
    "hdfs2://host/a.jpg", "javascript://alert(1)", "about://blank", "C://windows/a.jpg", "1http://host/a.jpg",
    "://a.jpg", "http://", "http:///a.jpg", "https://?x", "http://[/a.jpg", "http://[::1/a.jpg", "http://[bad]/a.jpg",
    "http://]/a.jpg", "http://[v1.fe80::a]/a.jpg",
    "http://example.invalid:99999/a.jpg", "http://example.invalid:0/a.jpg", "http://example.invalid:-1/a.jpg",
    "http://example.invalid:x/a.jpg", "http://127.0.0.1:99999/a.jpg", "http://127.0.0.1:8o/a.jpg",
    "http://a b.invalid/a.jpg", "http://a\tb.invalid/a.jpg", "http://example.invalid/\r\nHost: other\r\n\r\n",
    "http://example.invalid\r\n.other.invalid/a.jpg", "http://example.invalid\0.other.invalid/a.jpg",
    "http://example.invalid/a\0.jpg", "a\0b.jpg", "\0", "http://ex\u00e4mple.invalid/a.jpg",
    "http://xn--a.invalid/a.jpg", "http://\u202egpj.invalid/a.jpg", "http://\U0001f600.invalid/a.jpg",
    "http://%31%32%37.0.0.1/a.jpg", "http://example.invalid/%2e%2e/%2e%2e/etc/passwd",
    "http://example.invalid/..\\..\\a.jpg", "http://" + "a" * 300 + ".invalid/a.jpg",
    "http://example.invalid/" + "a" * 9000, "http://" + ".".join("a" * 60 for _ in range(200)) + "/a.jpg",
    "http://999.999.999.999/a.jpg", "http://1.2.3.4.5/a.jpg", "https:example.invalid/a.jpg",
    "http:/example.invalid/a.jpg", "http//example.invalid/a.jpg", "file://host/share/a.jpg",
    "file://localhost/etc/hostname.jpg", "\\\\server\\share\\a.jpg", "//server/share/a.jpg", "C:\\a.jpg",
    "..\\..\\a.jpg", "../../../../../../../../nowhere/a.jpg", "%2e%2e/%2e%2e/etc/passwd", "~root/a.jpg",
    "~/nowhere.jpg", "$HOME/a.jpg", "`id`.jpg", "$(id).jpg", "; rm -rf nowhere.jpg", "| cat nowhere.jpg", "-rf.jpg",
    "*", "?", "[a-z].jpg", "{a,b}.jpg", "a" * 300 + ".jpg", "d/" * 3000 + "a.jpg", "pipe.jpg", "to-pipe.jpg",
    "to-zero.jpg", "to-environ.jpg", "socket.jpg", "loop.jpg", ".", "..", "/", "\n", "a\nb.jpg", "\x1b[2Ja.jpg",
    "\u202egpj.a", "\ufeffa.jpg", "zip://a.jpg::nowhere.zip", "zip://a.jpg::pipe.jpg",
    "zip://../../etc/passwd::000.jpg", "zip://::000.jpg", "tar://a.jpg::000.jpg",
    "parquet://image-0::000.jpg", "tfrecord://99999999999999::000.jpg", "::", "a::b", "zip::000.jpg", "s3://",
    "s3:///a.jpg", "s3://bucket", "gs://", "abfs://", "S3://BUCKET_WITH SPACE/a.jpg",
)  # fmt: skip
# Where an answer depends on what is installed, or on what the machine's name server says.
EITHER = (
    "github://a:b@main/x.jpg", "sftp://127.0.0.1/a.jpg", "smb://127.0.0.1/share/a.jpg", "webhdfs://127.0.0.1/a.jpg",
    "http://127.0.0.1\\@example.invalid/a.jpg", "http://example.invalid\\@127.0.0.1/a.jpg",
    "jar:file:///a.jar!/a.jpg", "arrow_hdfs://127.0.0.1/a.jpg", "gitlab://x/a.jpg", "dropbox://a.jpg",
    "root://127.0.0.1//a.jpg", "hf://datasets/a/b/c.jpg",
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Twenty pictures, and beside them what is no file."""
    write_pictures(tmp_path, 20)
    os.mkfifo(tmp_path / "pipe.jpg")
    links = {"to-pipe": "pipe.jpg", "to-zero": "/dev/zero", "to-environ": "/proc/self/environ", "loop": "loop.jpg"}
    for name, target in links.items():
        (tmp_path / f"{name}.jpg").symlink_to(target)
    with socket.socket(socket.AF_UNIX) as server:
        path = Path(os.path.relpath(tmp_path / "socket.jpg"))
        server.bind(str(path))
        yield tmp_path


def manifest_of(folder: Path, uris: list[str]) -> Path:
    good = [f"{number:03}.jpg" for number in range(20)]
    pq.write_table(pa.table({"uri": [*good, *uris]}), folder / "m.parquet")
    return folder / "m.parquet"


def failures(store: Path) -> list[dict[str, Any]]:
    return Scan(FeatureStore.open(str(store)).failures()).to_arrow().to_pylist()


def test_there_are_more_than_a_hundred() -> None:
    named = [*REFUSED, *FAILED, *EITHER]
    assert len(named) == len(set(named)) > 150


@pytest.mark.timeout(240)
def test_each_hostile_uri_is_a_row_among_good_pictures(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    uris = [*REFUSED, *FAILED, *EITHER]
    began = time.monotonic()
    summary = extract(
        f"--input={manifest_of(folder, uris)}", f"--output={folder}/store", "--max_failure_ratio=1", *SMALL_BASE
    )
    assert time.monotonic() - began < 120
    assert summary["extracted"] == 20
    rows = failures(folder / "store")
    assert len(rows) == summary["failed"]
    codes = {row["uri"]: row["code"] for row in rows}
    # Some name the same place, and count once.
    assert summary["failed"] + summary["duplicates"] == len(uris)
    refused = [row for row in rows if row["code"] == FailureCode.NOT_ALLOWED]
    assert len(refused) + summary["duplicates"] >= len(REFUSED)
    no_refusal = {uri: code for uri in REFUSED if (code := codes.get(uri)) not in {None, FailureCode.NOT_ALLOWED}}
    refusals = [uri for uri in FAILED if codes.get(uri) == FailureCode.NOT_ALLOWED]
    assert (no_refusal, refusals) == ({}, [])
    for row in rows:
        assert FailureCode(row["code"]).stage == "fetch"
        assert row["message"]
        assert len(row["message"]) < 400
        assert "\n" not in row["message"]
        assert row["code"] != FailureCode.NOT_ALLOWED or (
            "--allowed_sources=" in row["message"] and not row["permanent"]
        )


@pytest.mark.parametrize(
    "uri", ["http://169.254.169.254/latest", "file:///proc/self/environ", "simplecache::file:///a"]
)
def test_a_manifest_of_nothing_else_is_a_sentence(uri: str, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(f"{uri}\n")
    with pytest.raises(InvalidInput, match=r"No image of .* may be looked for") as caught:
        extract(f"--input={tmp_path}/list.txt", f"--output={tmp_path}/store", *SMALL_BASE)
    assert "--allowed_sources=" in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.fixture
def server(tmp_path: Path) -> Iterator[WebServer]:
    """A server on this machine, which has a picture and a manifest."""
    picture = write_pictures(tmp_path / "served", 1)[0].read_bytes()
    texts: dict[str, bytes] = {}

    with web_server(lambda asked: Answer(texts.get(asked.path, picture))) as running:
        texts["/m.csv"] = (
            f"uri\na.jpg\n{running.url}/b.jpg\nfile://{tmp_path}/pictures/000.jpg\ns3://b/c.jpg\n".encode()
        )
        yield running


def test_a_manifest_of_a_server_names_what_is_there_and_nothing_of_this_machine(
    server: WebServer, tmp_path: Path
) -> None:
    write_pictures(tmp_path / "pictures", 1, seed=1)
    options = f"--input={server.url}/m.csv", "--max_failure_ratio=1", *SMALL_BASE
    summary = extract(*options, f"--output={tmp_path}/store")
    assert (summary["extracted"], summary["failed"]) == (2, 2)
    assert {row["code"] for row in failures(tmp_path / "store")} == {FailureCode.NOT_ALLOWED}
    named = f"--allowed_sources=file://{tmp_path}/pictures/"
    summary = extract(*options, named, f"--output={tmp_path}/store")
    assert (summary["skipped"], summary["extracted"], summary["failed"]) == (2, 1, 1), (
        "What was refused is tried again."
    )


def test_a_server_of_this_machine_is_asked_only_where_it_is_named(server: WebServer, tmp_path: Path) -> None:
    write_pictures(tmp_path, 1)
    (tmp_path / "list.txt").write_text(f"000.jpg\n{server.url}/a.jpg\n")
    options = f"--input={tmp_path}/list.txt", f"--output={tmp_path}/store", "--max_failure_ratio=1", *SMALL_BASE
    assert extract(*options)["failed"] == 1
    assert server.asked == []
    assert extract(*options, f"--allowed_sources={server.url}/")["extracted"] == 1
    assert server.asked


def test_predictions_pass_the_same_place(server: WebServer, tmp_path: Path, small_store: FeatureStore) -> None:
    assert (
        train(
            [
                f"--features={small_store.uri}",
                f"--output={tmp_path}/model",
                "--validation_fraction=0",
                "--test_fraction=0",
            ]
        )
        == 0
    )
    write_pictures(tmp_path, 1)
    (tmp_path / "list.txt").write_text(f"000.jpg\n{server.url}/a.jpg\nfile:///proc/self/environ\n")
    assert predict([
        f"--model={tmp_path}/model", f"--input={tmp_path}/list.txt", f"--output={tmp_path}/predictions",
        "--max_failure_ratio=1", "--runner=DirectRunner",
    ]) == 0  # fmt: skip
    assert server.asked == []
