"""Every command, on names that nobody means well, and behind a proxy that listens: what they print, write and send."""

import csv
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.conftest import REPOSITORY, SMALL_BASE, write_pictures

LABELS = ("=cats()\nFORGED\x1b[2J", "d|gs<script>alert(1)</script>`*[x](http://example.com/)")
FILE = "a\nFORGED\x1b[2J'\"<script>alert(2)</script>.jpg"
DATE = "2026-01-31"


class Commands(NamedTuple):
    """What commands have done.

    Attributes:
        folder: Where they were run.
        done: What they printed, by command line.
        asked: What the proxy was asked for.
    """

    folder: Path
    done: Mapping[str, "subprocess.CompletedProcess[str]"]
    asked: list[bytes]


@contextmanager
def proxy() -> Iterator[tuple[str, list[bytes]]]:
    """A proxy that lets nothing through, and what it was asked for."""
    asked: list[bytes] = []

    def listen() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                asked.append(connection.recv(1000))

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", asked
        listening.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def command_lines(folder: Path) -> list[list[str]]:
    source = [f"--input={folder}/photos", "--labels_from=parent"]
    base = [*SMALL_BASE, "--layers=conv_pw_1_relu,conv_pw_3_relu"]
    return [
        ["extract", *source, "--output=store", "--max_failure_ratio=1", *base],
        ["extract", *source, "--output=store", "--dry_run"],
        ["backfill", f"--input={folder}/days/{{ds}}", "--labels_from=parent", f"--start={DATE}", f"--end={DATE}",
         "--output=dated", "--max_failure_ratio=1", *base],
        ["inspect", "store"],
        ["inspect", "store", "--runs=5"],
        ["inspect", "store", "--failures"],
        ["inspect", "store", "--coverage", *source],
        ["train", "--features=store", "--layers=all", "--output=model"],
        ["predict", "--model=model", *source, "--output=predictions", "--max_failure_ratio=1"],
        ["finetune", "--model=model", *source, "--output=tuned", "--epochs=1", "--unfreeze_from=conv_pw_1",
         "--max_failure_ratio=1"],
        ["maintain", "store", "history"],
        ["maintain", "store", "check", "--deep"],
        ["maintain", "store", "republish"],
        ["maintain", "store", "takedown", "--uris=gone.txt", "--reason=\x1b[2J"],
        ["maintain", "store", "compact"],
        ["maintain", "store", "vacuum", "--retention=0h", "--allow_short_retention", "--dry_run"],
    ]  # fmt: skip


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Commands:
    """Every command as a user would run it, without a cache, in a home of its own."""
    folder = tmp_path_factory.mktemp("commands")
    for root in (folder / "photos", folder / "days" / DATE):
        for split in ("train", "validation", "test"):
            for number, label in enumerate(LABELS):
                name = label.replace("/", "\N{DIVISION SLASH}")
                paths = write_pictures(root / split / name, 4, seed=number)
                paths[0].rename(paths[0].with_name(FILE.replace("/", "\N{DIVISION SLASH}")))
        (paths[1].with_name(f"bad{FILE}".replace("/", "\N{DIVISION SLASH}"))).write_text("no picture")
    (folder / "gone.txt").write_text(f"{paths[2]}\n")
    (folder / "home").mkdir()
    done: dict[str, subprocess.CompletedProcess[str]] = {}
    with proxy() as (url, asked):
        proxies = {name: url for word in ("http_proxy", "https_proxy", "all_proxy") for name in (word, word.upper())}
        environment = {name: value for name, value in os.environ.items() if name.lower() != "no_proxy"} | proxies
        environment |= {"HOME": f"{folder}/home", "CONVBASE_CACHE": f"{folder}/cache", "PYTHONPATH": str(REPOSITORY)}
        for command, *arguments in command_lines(folder):
            done[" ".join([command, *arguments])] = subprocess.run(
                [sys.executable, "-m", f"pipelines.{command}", *arguments],
                cwd=folder, env=environment, capture_output=True, text=True, check=False,
            )  # fmt: skip
    return Commands(folder, done, asked)


def test_every_command_ends_well(commands: Commands) -> None:
    ended = {line: (one.returncode, one.stderr) for line, one in commands.done.items() if one.returncode}
    assert {line: code for line, (code, _) in ended.items()} == {
        line: 1 for line in commands.done if "--coverage" in line
    }, ended


def test_nothing_is_told_to_anybody(commands: Commands) -> None:
    assert commands.asked == []
    assert not (commands.folder / "home" / "intel").exists()


def test_nothing_that_is_printed_is_obeyed_by_a_terminal_or_forges_a_line(commands: Commands) -> None:
    for line, one in commands.done.items():
        text = one.stdout + one.stderr
        assert text.replace("\n", "").replace("\t", "").isprintable(), line
        assert not [printed for printed in text.splitlines() if printed.strip().startswith("FORGED")], line
    assert "FORGED\\x1b[2J" in "".join(one.stdout for one in commands.done.values())


class Tags(HTMLParser):
    """The elements of a page, and its attributes that begin a script."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.handlers: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.add(tag)
        self.handlers += [name for name, _ in attributes if name.startswith("on")]


@pytest.mark.parametrize("model", ["model", "tuned"])
def test_a_report_is_a_page_without_a_script(model: str, commands: Commands) -> None:
    page = (commands.folder / model / "report.html").read_text()
    tags = Tags(page)
    assert "alert(1)" in page
    assert not tags.found & {"script", "iframe", "object", "a", "link"}
    assert tags.handlers == []
    assert "default-src 'none'" in page


@pytest.mark.parametrize("model", ["model", "tuned"])
def test_a_card_in_markdown_shows_names_as_they_are(model: str, commands: Commands) -> None:
    text = (commands.folder / model / "model_card.md").read_text()
    assert not [line for line in text.splitlines() if line.startswith("FORGED")]
    assert "\x1b" not in text
    assert not re.search(r"(?<!\\)<", text)
    (row,) = [line for line in text.splitlines() if "alert(1)" in line and line.startswith("| ")]
    assert len(re.split(r"(?<!\\)\|", row)) == 6, "As many cells as the head of the table has."


def test_no_cell_of_a_csv_is_a_formula(commands: Commands) -> None:
    for file in ("model/leaderboard.csv", "model/history.csv", "tuned/left_out.csv"):
        cells = [cell for row in csv.reader((commands.folder / file).open(newline="")) for cell in row]
        assert len(cells) > 4
        assert not [cell for cell in cells if cell.startswith(("=", "+", "@", "\t", "\r"))], file
