"""The runbook is walked word by word: each section on a store of the sample pictures, after that has happened to it."""

import contextlib
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipelines import backfill as backfill_command
from pipelines.jobs import draw_samples
from schemas.errors import RunFailed
from schemas.store import FeatureStore
from tests.conftest import REPOSITORY, SMALL_BASE, extract
from tests.support.pages import Block, blocks_of, run_blocks
from tests.support.portable import comparable
from transforms.conv_bases import OpenVINOEngine

DATE = "2026-01-01"
GONE = "photos/train/discs/000.jpg"


class Incident(NamedTuple):
    """What has happened before a section is followed, and what is to be true afterwards.

    Attributes:
        stage: Makes it happen, in the working folder.
        assert_over: Given what the section's commands printed.
    """

    stage: Callable[[], None]
    assert_over: Callable[[str], None]


def sections() -> dict[str, list[Block]]:
    """The blocks of each section that has some to run."""
    text = (REPOSITORY / "docs" / "operations" / "runbook.md").read_text()
    parts = re.split(r"^## (.+)$", text, flags=re.M)
    found = {title: blocks_of(body) for title, body in zip(parts[1::2], parts[2::2], strict=True)}
    return {title: blocks for title, blocks in found.items() if any(block.is_run for block in blocks)}


def in_store(path: str) -> list[str]:
    """The names of the store's images in a folder."""
    uris = FeatureStore.open("store").scan(["uri"]).to_arrow()["uri"].to_pylist()
    return sorted(Path(uri).name for uri in uris if f"/{path}/" in uri)


def photos_are_in_the_store() -> None:
    listed = sorted(f"file://{path.resolve()}" for path in Path("photos").rglob("*.jpg"))
    assert sorted(FeatureStore.open("store").scan(["uri"]).to_arrow()["uri"].to_pylist()) == listed


def night_fails() -> None:
    """Most of a night's pictures come cut off; they are delivered again the next morning."""
    uploads = Path("uploads", DATE)
    shutil.copytree("new-photos/discs", uploads)
    for path in uploads.iterdir():
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(RunFailed):
        backfill_command.main(["--input=uploads/{ds}/", f"--start={DATE}", "--end=2026-01-02", "--output=store"])
    shutil.copytree("new-photos/discs", uploads, dirs_exist_ok=True)


def night_is_made_up_for(printed: str) -> None:
    assert re.search(rf"^{DATE} .* failed", printed, flags=re.M), "the table of runs shows it"
    assert "\ttruncated\t" in printed, "so do the failures, though nothing was committed"
    assert in_store(f"uploads/{DATE}") == sorted(path.name for path in Path("new-photos/discs").iterdir())


def file_is_damaged() -> None:
    (path, *_) = sorted(Path("store/features").rglob("*.parquet"))
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 16
    path.write_bytes(bytes(content))


def file_is_replaced(printed: str) -> None:
    assert "1 file is taken out" in printed
    photos_are_in_the_store()
    assert comparable("store").equals(comparable("whole"))


def bad_deploy() -> None:
    """The pictures of a day get wrong features; they are copies of others, so it is known what is right."""
    shutil.copytree("new-photos", "photos/monday")
    submit = OpenVINOEngine.submit
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OpenVINOEngine, "submit", lambda engine, pixels: submit(engine, np.zeros_like(pixels)))
        extract("--input=photos", "--labels_from=parent", "--output=store", "--reuse=none")
    assert features_by_content("store") != features_by_content("whole")


def features_by_content(store: str) -> set[tuple[str, bytes]]:
    rows = FeatureStore.open(store).scan(["sha256", "conv_pw_13_relu"]).to_arrow().to_pylist()
    return {(row["sha256"], np.asarray(row["conv_pw_13_relu"], np.float32).tobytes()) for row in rows}


def features_are_right_again(printed: str) -> None:
    assert "Would restore version 1" in printed
    photos_are_in_the_store()
    assert features_by_content("store") == features_by_content("whole")
    assert Path("model/model_card.json").exists()
    assert Path("predictions").exists()


def nothing_happens() -> None:
    """An order comes in from outside."""


def rows_are_gone_for_good(printed: str) -> None:
    assert "1 image is taken down, 1 of them newly; rows removed: 1 of features" in printed
    files = [path for path in Path("store/features").glob("ds=*/*.parquet") if path.stat().st_size]
    assert not any(
        uri.endswith(GONE) for path in files for uri in pq.read_table(path, columns=["uri"])["uri"].to_pylist()
    )
    assert extract("--input=photos", "--labels_from=parent", "--output=store")["extracted"] == 0


def price_is_known(printed: str) -> None:
    assert re.search(r"images_per_second +extracted +feature_bytes\n0 +\S+ +144 +\d+", printed)


INCIDENTS = {
    "A night failed": Incident(night_fails, night_is_made_up_for),
    "A damaged file": Incident(file_is_damaged, file_is_replaced),
    "A bad deploy": Incident(bad_deploy, features_are_right_again),
    "A takedown": Incident(nothing_happens, rows_are_gone_for_good),
    "A new conv base for 100 million pictures": Incident(nothing_happens, price_is_known),
}


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with pictures and a store of them, before anything has happened."""
    folder = tmp_path_factory.mktemp("runbook")
    with contextlib.chdir(folder):
        Path("work").mkdir()
        with contextlib.chdir("work"):
            draw_samples(Path("photos"))
            shutil.copytree("photos/test", "new-photos")
            extract("--input=photos", "--labels_from=parent", "--output=store", *SMALL_BASE)
            shutil.copytree("store", "whole")
        shutil.move("work", "quiet")
    return folder / "quiet"


@pytest.fixture
def folder(quiet: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of it, where it was made: the store names its pictures by their places."""
    work = quiet.with_name("work")
    shutil.copytree(quiet, work)
    monkeypatch.chdir(work)
    yield work
    shutil.rmtree(work)


def test_every_section_with_commands_is_walked() -> None:
    assert sections().keys() == INCIDENTS.keys()


@pytest.mark.parametrize("title", INCIDENTS)
def test_following_a_section_mends_what_has_happened(title: str, folder: Path) -> None:
    incident = INCIDENTS[title]
    incident.stage()
    incident.assert_over(run_blocks(sections()[title], folder))
