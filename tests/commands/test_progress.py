"""What a terminal shows while commands work, wide or narrow, and what a log gets."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines import train as train_command
from pipelines.runners import progress
from schemas.store import FeatureStore
from tests.conftest import REPOSITORY, clusters, store_of_features, write_pictures
from transforms.runtime import Progress

PICTURES = 300


def in_terminal(arguments: list[str], columns: int, folder: Path) -> list[str]:
    """Runs a command whose standard error is a terminal, and returns what stood on its line, one text a refresh."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, columns, 0, 0))
    with subprocess.Popen(
        [sys.executable, *arguments], cwd=folder, env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.DEVNULL, stderr=theirs,
    ) as command:  # fmt: skip
        os.close(theirs)
        shown = b"".join(_read(ours))
    os.close(ours)
    assert command.returncode == 0, shown
    return re.split(r"[\r\n]+", shown.decode())


def _read(terminal: int) -> Iterator[bytes]:
    while True:
        try:
            yield os.read(terminal, 65536)
        except OSError:  # Linux says so at the end of a terminal.
            return


@pytest.mark.parametrize("columns", [40, 120])
def test_a_bar_moves_within_a_shard_with_rate_and_remaining_time(columns: int, tmp_path: Path) -> None:
    write_pictures(tmp_path / "pictures", PICTURES)
    shown = in_terminal(
        ["-m", "pipelines.extract", "--input=pictures", "--output=store", "--conv_base=MobileNet", "--weights=none",
         "--conv_base_arg=alpha=0.25", "--input_shape=160,160,3"],
        columns, tmp_path,
    )  # fmt: skip
    assert max(map(len, shown)) <= columns
    figures = [re.search(r"(\d+)(?:/| of )300\b", line) for line in shown]
    counts = [int(found[1]) for found in figures if found]
    assert counts == sorted(counts)
    assert [count for count in counts if 0 < count < PICTURES], shown
    assert counts[-1] == PICTURES
    moving = [line for line in shown if "images/s" in line or "/s " in line]
    assert [line for line in moving if re.search(r"\d\d:\d\d", line)], shown


def test_training_counts_the_images_of_its_epochs_and_the_passes_of_a_probe(
    small_store: FeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    features, classes = clusters((150, 150), features=256, distance=4.0)
    labels = ["cat" if number else "dog" for number in classes]
    store = store_of_features(tmp_path / "store", features, small_store, label=labels)
    seen: list[Progress] = []
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LOOKS", 0.02)
    monkeypatch.setattr(progress, "log_line", lambda _, counts, __: seen.append(counts) or "")
    monkeypatch.setattr(progress, "_SECONDS_TO_FIRST_LINE", 0.0)
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 0.0)
    train_command.main([f"--features={store.uri}", f"--output={tmp_path}/probe"])
    assert seen[-1].passes > 0
    assert seen[-1].planned == 0
    seen.clear()
    train_command.main([f"--features={store.uri}", f"--output={tmp_path}/head", "--recipe=dropout", "--epochs=4"])
    assert "epoch 1 of 4" in {counts.stage for counts in seen}
    assert seen[-1].planned > 0
