"""What tests of crashes share: signals in this process as commands have them, and what commands begin with."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.options import parser as parser_module
from schemas.delta import transactions
from schemas.storage import interruption
from tests.conftest import SMALL_BASE, extract, train, write_pictures

FOLDERS = ("train/a", "train/b", "validation/a", "validation/b")


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of two classes, one that is none, their features, and a classifier; do not change them."""
    folder = tmp_path_factory.mktemp("made")
    for number, name in enumerate(FOLDERS):
        write_pictures(folder / "pictures" / name, 4, seed=number)
    (folder / "pictures" / "train" / "a" / "page.jpg").write_bytes(b"<html>")
    options = (f"--output={folder}/store", "--labels_from=parent", "--max_failure_ratio=0.5")
    extract(f"--input={folder}/pictures/validation", *options, "--layers=conv_pw_1_relu", *SMALL_BASE)
    extract(f"--input={folder}/pictures", *options)
    train(f"--features={folder}/store", f"--output={folder}/model", "--split=column", "--test_fraction=0")
    return folder


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Signals are handled as in a command that runs by itself."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, parser_module._interrupt)
    monkeypatch.setattr(interruption, "_signals", [])
    monkeypatch.setattr(transactions, "_FIRST_PAUSE_SECONDS", 0.001)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
