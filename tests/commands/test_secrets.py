"""What signs a URL is used to fetch, and is in nothing that any command writes, prints or logs."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipelines import predict as predict_command
from schemas.delta import Scan
from schemas.store import FeatureStore
from tests.conftest import REPOSITORY, SMALL_BASE, Run, extract, train, write_pictures
from tests.support.web import Answer, Asked, WebServer, web_server

MARK = "PLANTED"
SIGNATURES = (
    f"X-Amz-Signature={MARK}1&X-Amz-Credential={MARK}2%2Fus&X-Amz-Security-Token={MARK}3%3D&X-Amz-Date=1",
    f"sv=2024&se=2026&sp=r&sr=b&sig={MARK}4%2B",
    f"X-Goog-Signature={MARK}5&X-Goog-Credential={MARK}6",
    f"Expires=1&AWSAccessKeyId={MARK}7&Signature={MARK}8",
    f"token={MARK}9",
    f"access_token={MARK}10&w=1",
    f"key={MARK}11",
)
# One process for many commands, each as it would end by itself; its logs are those of debugging.
COMMANDS = """
import importlib, json, logging, sys
from schemas.errors import ConvbaseError, first_line
for name, *arguments in json.loads(sys.argv[1]):
    try:
        code = importlib.import_module(f"pipelines.{name}").main(arguments)
    except ConvbaseError as error:
        code = error.exit_code
        print(f"error: {error}", file=sys.stderr)
        logging.debug("It ended.", exc_info=True)
    print("ended", name, code, flush=True)
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[WebServer]:
    """A server of pictures, and of a manifest of them, for whoever has signed; others get 403."""
    pictures = [path.read_bytes() for path in write_pictures(tmp_path / "pictures", 12)]
    texts: dict[str, bytes] = {}

    def site(asked: Asked) -> Answer:
        path, _, query = asked.path.partition("?")
        if MARK not in query:
            return Answer(status=403)
        if path in texts:
            return Answer(texts[path])
        found = re.search(r"(\d+)\.jpg$", path)
        return Answer(pictures[int(found[1])]) if found and int(found[1]) < 12 else Answer(status=404)

    with web_server(site) as running:
        rows = [f"{running.url}/{number}.jpg?{SIGNATURES[number % len(SIGNATURES)]}" for number in range(12)]
        rows += [f"{running.url}/{number}.jpg?{SIGNATURES[0]}" for number in (20, 21)]  # They are not there.
        rows += [rows[0].replace("://", f"://user:{MARK}12@").replace("/0.jpg", "/22.jpg")]
        rows += [f"http://10.1.2.3/a.jpg?{SIGNATURES[0]}", f"https://user:{MARK}13@no-such-host.invalid/a.jpg"]
        rows += [f"http://[bad/a.jpg?{SIGNATURES[1]}", f"zip://a.jpg::{running.url}/a.zip?{SIGNATURES[2]}"]
        splits = ["train", "validation"]
        lines = [f"{row},{'ab'[number % 2]},{splits[number // 8 % 2]},{row}" for number, row in enumerate(rows)]
        texts["/m.csv"] = "\n".join(["uri,label,split,thumbnail", *lines]).encode()
        texts["/labels.csv"] = "\n".join(["uri,label", *(line.rpartition(",")[0].rpartition(",")[0] for line in lines)]).encode()  # fmt: skip  # noqa: E501
        texts["/bad.csv"] = f"uri,split\n{rows[0]},mine\n".encode()
        texts["/down.txt"] = rows[0].encode()
        yield running


def written(folder: Path) -> Iterator[tuple[str, str]]:
    """Everything that is in files of a folder, as text, by the file."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield str(path), path.read_bytes().decode("latin-1")
            if path.suffix == ".parquet":
                yield f"{path} (rows)", str(pq.read_table(path).to_pylist())
                yield f"{path} (footer)", str(pq.read_metadata(path).to_dict())


@pytest.mark.timeout(300)
def test_no_command_writes_prints_or_logs_what_signs_a_url(server: WebServer, tmp_path: Path) -> None:
    out, temporary = tmp_path / "out", tmp_path / "temporary"
    out.mkdir()
    temporary.mkdir()
    signed = f"{server.url}/{{}}?{SIGNATURES[0]}"
    manifest = f"--input={signed.format('m.csv')}"
    options = [f"--allowed_sources={server.url}/,http://user:{MARK}14@10.9.8.7/", "--max_failure_ratio=1"]
    debug, direct = "--log_level=debug", "--runner=DirectRunner"
    dates = "--start=2026-01-01", "--end=2026-01-01"
    store, model = f"--output={out}/store", f"{out}/model"
    labels = f"--labels={signed.format('labels.csv')}"
    commands: list[list[str]] = [
        ["extract", manifest, *options, store, debug, "--dry_run", *SMALL_BASE],
        ["extract", manifest, *options, store, debug, direct, f"--summary={out}/s.json", *SMALL_BASE],
        ["extract", manifest, *options, store, debug, direct],
        ["extract", manifest, store, debug, direct],
        ["extract", f"--input={signed.format('bad.csv')}", *options, store, debug, direct],
        ["extract", f"--input={signed.format('nowhere/')}", *options, store, debug, direct],
        ["extract", f"--input={signed.format('3.jpg')}", *options, store, debug, direct],
        ["extract", f"--input={signed.format('3.jpg')}", f"--weights={signed.format('w.h5')}", f"--output={out}/none"],
        ["extract", f"--input=ftp://user:{MARK}15@no-such-host.invalid/", store, debug],
        ["backfill", manifest, *options, store, debug, *dates, direct],
        ["inspect", f"{out}/store"],
        ["inspect", f"{out}/store", "--runs"],
        ["inspect", f"{out}/store", "--failures"],
        ["inspect", f"{out}/store", "--coverage", manifest, options[0]],
        ["train", f"--features={out}/store", labels, f"--output={model}", "--test_fraction=0"],
        ["train", f"--features={signed.format('store')}", f"--output={out}/none"],
        ["predict", f"--model={model}", manifest, *options, f"--output={out}/predictions", debug, direct],
        ["predict", f"--model={signed.format('model')}", manifest, f"--output={out}/none", debug],
        ["finetune", f"--model={model}", f"--input={signed.format('nowhere.csv')}", f"--output={out}/tuned"],
        ["maintain", f"{out}/store", "takedown", f"--uris={signed.format('down.txt')}"],
        ["maintain", f"{out}/store", "compact"],
        ["maintain", f"{out}/store", "check", "--deep"],
    ]  # fmt: skip
    environment = {
        **os.environ,
        "PYTHONPATH": str(REPOSITORY),
        "TMPDIR": str(temporary),
        "KERAS_HOME": str(out / "keras"),
    }
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS, json.dumps(commands)],
        cwd=out, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    ended = re.findall(r"^ended (\w+) (\d)", done.stdout, re.M)
    assert len(ended) == len(commands), done.stderr[-3000:]
    codes = [int(code) for _, code in ended]
    expected = [0, 0, 0, 1, 2, 2, 0, 2, 2, 0, 0, 0, 0, 1, 0, 2, 0, 2, 2, 0, 0, 0]
    assert codes == expected, done.stderr[-3000:]
    assert any(MARK in asked.path for asked in server.asked), "The worker has what signs."
    uris = {row["uri"] for row in FeatureStore.open(f"{out}/store").scan(["uri"]).to_arrow().to_pylist()}
    named = {f"{server.url}/{number}.jpg" for number in range(12) if number != 5} | {f"{server.url}/5.jpg?w=1"}
    assert uris == named - {f"{server.url}/0.jpg"}, "The one that was taken down is not there."
    for text in (done.stdout, done.stderr):
        assert MARK not in text, re.search(rf".*{MARK}.*", text)
    found = [where for folder in (out, temporary) for where, text in written(folder) if MARK in text]
    assert found == []
    assert len(list(written(out))) > 40


def test_the_same_image_signed_again_is_known(server: WebServer, tmp_path: Path) -> None:
    options = f"--allowed_sources={server.url}/", f"--output={tmp_path}/store", *SMALL_BASE
    for number, signature in enumerate(SIGNATURES[:3]):
        (tmp_path / "list.txt").write_text(f"{server.url}/1.jpg?{signature}\n")
        summary = extract(f"--input={tmp_path}/list.txt", "--manifest_versions=none", *options)
        assert (summary["extracted"], summary["skipped"]) == ((0, 1) if number else (1, 0))


def test_lists_that_are_carried_along_are_written_without_secrets(server: WebServer, tmp_path: Path) -> None:
    pages = [[f"https://pages.example/{number}?{signature}", "x"] for number, signature in enumerate(SIGNATURES)]
    rows = [
        {"uri": f"{server.url}/{number}.jpg?{SIGNATURES[0]}", "pages": pages[number:], "labels": pages[number]}
        for number in range(3)
    ]
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, rows)))
    options = f"--allowed_sources={server.url}/", f"--output={tmp_path}/store", *SMALL_BASE
    assert extract(f"--input={tmp_path}/m.jsonl", *options)["extracted"] == len(rows)
    assert [where for where, text in written(tmp_path / "store") if MARK in text] == []
    found = FeatureStore.open(f"{tmp_path}/store").scan(["pages"]).to_arrow()["pages"].to_pylist()
    assert sorted(map(len, found)) == [5, 6, 7]
    assert ["https://pages.example/4", "x"] in found[0]


def test_a_bug_is_printed_without_secrets(run: Run, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import transforms.sources.finding as finding\n"
        "def find(uri, *_): raise KeyError(uri)\n"
        "finding._find_sources = find\n"
    )
    url = f"https://user:{MARK}@host/a.csv?{SIGNATURES[0]}"
    done = run("extract", f"--input={url}", PYTHONPATH=f"{tmp_path}:{REPOSITORY}")
    assert done.returncode == 1
    assert "KeyError: 'https://host/a.csv'" in done.stderr
    assert MARK not in done.stdout + done.stderr


def test_predictions_have_the_name_alone(server: WebServer, tmp_path: Path, small_store: FeatureStore) -> None:
    train(f"--features={small_store.uri}", f"--output={tmp_path}/model", "--validation_fraction=0", "--test_fraction=0")
    arguments = [
        f"--model={tmp_path}/model", f"--input={server.url}/m.csv?{SIGNATURES[0]}", f"--output={tmp_path}/predictions",
        "--max_failure_ratio=1", "--runner=DirectRunner",
    ]  # fmt: skip
    assert predict_command.main(arguments) == 0
    rows: list[dict[str, Any]] = []
    for name in ("predictions", "failures"):
        from deltalake import DeltaTable

        rows += Scan(DeltaTable(f"{tmp_path}/predictions/{name}")).to_arrow().to_pylist()
    assert len(rows) > 12
    assert MARK not in str(rows)
