"""A command that a signal ends says what is true, keeps what is finished, and leaves nothing behind."""

import dataclasses
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import NamedTuple

import pytest

from pipelines import maintain as maintain_command
from schemas.classifiers import holds_classifier
from schemas.fragments import TableName, read_receipts
from schemas.store import FeatureStore, PredictionTables
from tests.conftest import REPOSITORY, SMALL_BASE, extract, write_pictures
from tests.crashes.conftest import FOLDERS
from tests.support.children import Pause, start_program

IMAGES = 3000
# Enough work for some seconds: the same picture under many names, computed each time.
OPTIONS = (
    "--conv_base=MobileNet", "--weights=none", "--input_shape=128,128,3", "--reuse=none", "--shard_size=50",
)  # fmt: skip


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    (first,) = write_pictures(tmp_path / "pictures", 1)
    for number in range(1, IMAGES):
        os.link(first, first.with_name(f"link-{number:04}.jpg"))
    return tmp_path / "pictures"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_run_with_one_sentence(number: signal.Signals, code: int, pictures: Path) -> None:
    store, temporary = pictures.parent / "store", pictures.parent / "temporary"
    temporary.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "pipelines.extract", f"--input={pictures}", f"--output={store}", *OPTIONS],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "TMPDIR": str(temporary)},
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    while len(list(store.glob("receipts/*/*.json"))) < 3:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == code, stderr
    sentence = re.fullmatch(
        r"error: Run \S+ is interrupted; nothing of it is visible\. "
        r"The next run adopts (\d+) images that are finished\.\n",
        stderr,
    )
    assert sentence is not None, stderr
    assert FeatureStore.open(str(store)).scan(["uri"]).count() == 0
    finished = sum(fragment.images for fragment in read_receipts(f"file://{store}"))
    assert 150 <= int(sentence[1]) <= finished < IMAGES
    assert list(temporary.iterdir()) == []
    # All of them are one picture, which need not be computed a thousand times more.
    assert extract(f"--input={pictures}", f"--output={store}")["adopted"] == finished


class Case(NamedTuple):
    """A command that a signal meets.

    Attributes:
        arguments: Its name and its arguments; MADE stands for the folder of what was made, HERE for an empty one.
        pause: Where the signal meets it.
        said: What it says, as a pattern.
        code: Its exit code, where not that of the signal: the work was done already.
    """

    arguments: str
    pause: Pause
    said: str
    code: int | None = None


TRAIN = "train --features=MADE/store --output=HERE/out --split=column --test_fraction=0"
FINETUNE = (
    "finetune --model=MADE/model --input=MADE/pictures --labels_from=parent --output=HERE/out --epochs=2 --patience=0 "
    "--unfreeze_from=conv_pw_1 --untrained_head --test_fraction=0"
)
PREDICT = "predict --model=MADE/model --input=MADE/pictures --output=HERE/out --run_id=night --max_failure_ratio=0.5"
BACKFILL = "backfill --input=HERE/{ds} --output=HERE/store --start=2024-03-01 --end=2024-03-02 " + " ".join(SMALL_BASE)
_CARD = "schemas.classifiers.classifier:_write_card"
_COMMIT = "schemas.commits.replacement:write_actions"
NOTHING = "nothing of it is visible"

CASES = {
    "train, before it writes": Case(
        TRAIN, Pause("pipelines.train:write_classifier"), rf"The training is interrupted; {NOTHING}\."
    ),
    "train, before its card": Case(TRAIN, Pause(_CARD), rf"The training is interrupted; {NOTHING}\."),
    "train, after its card": Case(
        TRAIN, Pause(_CARD, done=True), r"The training is interrupted; its classifier is in HERE/out\."
    ),
    "train, before its report": Case(
        TRAIN, Pause("pipelines.train:write_report"), r"The training is interrupted; its classifier is in HERE/out\."
    ),
    "finetune, after an epoch": Case(
        FINETUNE,
        Pause("transforms.finetuning.checkpoints:Checkpoint.save", done=True),
        rf"The training is interrupted; {NOTHING}\. Started again as it was, it goes on after its last whole epoch\.",
    ),
    "predict, before the first commit": Case(PREDICT, Pause(_COMMIT), r"Run night is interrupted; VISIBLE\."),
    "predict, between its commits": Case(PREDICT, Pause(_COMMIT, done=True), r"Run night is interrupted; VISIBLE\."),
    "predict, after its commits": Case(PREDICT, Pause(_COMMIT, 2, done=True), r"Run night is interrupted; VISIBLE\."),
    "maintain": Case(
        "maintain HERE/store compact",
        Pause("schemas.delta.conflict_token:write_actions"),
        r"compact of file://HERE/store is interrupted; the tables are whole, and the command given again does what is "
        r"left\.",
    ),
    "backfill": Case(
        BACKFILL,
        Pause("transforms.extraction.shard:write_computed", done=True),
        r"Run backfill-2024-03-01-\S+ is interrupted; nothing of it is visible\."
        r"( The next run adopts 2 images that are finished\.)?",
    ),
}


def met_by(number: signal.Signals, case: Case, made: Path, here: Path) -> tuple[ForkServerProcess, Path]:
    """Starts a command, and sends a signal to its group of processes once it is where it stays."""
    if "maintain" in case.arguments:
        shutil.copytree(made / "store", here / "store")
    for day in (1, 2):
        write_pictures(here / f"2024-03-0{day}", 2, seed=day)
    command, *given = case.arguments.replace("MADE", str(made)).replace("HERE", str(here)).split()
    output = here / "program"
    process = start_program(command, given, output, case.pause)
    while not (output / "reached").exists():
        assert process.is_alive(), (output / "stderr").read_text()
        time.sleep(0.02)
    assert process.pid is not None
    os.killpg(process.pid, number)
    return process, output


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("name", CASES)
def test_a_signal_ends_each_command_with_one_true_sentence(
    name: str, number: signal.Signals, code: int, made: Path, tmp_path: Path
) -> None:
    if name.startswith("finetune") and number == signal.SIGINT:
        pytest.skip("takes seconds, and is tried with SIGTERM")
    case = CASES[name]
    process, output = met_by(number, case, made, tmp_path)
    process.join(60)
    said = (output / "stderr").read_text()
    assert process.exitcode == code, said
    pattern = case.said.replace("HERE", re.escape(str(tmp_path))).replace("VISIBLE", visible_of(tmp_path / "out"))
    assert re.fullmatch(f"error: {pattern}\n", said), said
    assert list((output / "temporary").iterdir()) == []
    assert holds_classifier(f"{tmp_path}/out") == (name in {"train, after its card", "train, before its report"})


def visible_of(output: Path) -> str:
    """Returns what has to be said of a run of predictions, by its tables."""
    tables = PredictionTables.find(str(output)) if (output / "predictions").exists() else None
    if tables is None:
        return NOTHING
    predicted, failed = (
        tables.of_run(name, "night", ["uri"]).num_rows for name in (TableName.PREDICTIONS, TableName.FAILURES)
    )
    if predicted:
        assert (predicted, failed) == (4 * len(FOLDERS), 1)
        return "it is complete"
    return "its failures are visible and none of its predictions" if failed else NOTHING


@pytest.mark.parametrize("name", ["train, before it writes", "predict, before the first commit", "maintain"])
def test_a_second_signal_ends_it_at_once(name: str, made: Path, tmp_path: Path) -> None:
    case = CASES[name]
    busy = case._replace(pause=dataclasses.replace(case.pause, seconds=60, sleeps_through=True))
    process, output = met_by(signal.SIGINT, busy, made, tmp_path)
    time.sleep(0.3)
    assert process.is_alive()
    assert process.pid is not None
    os.killpg(process.pid, signal.SIGTERM)
    process.join(5)
    assert process.exitcode == -signal.SIGTERM
    assert (output / "stderr").read_text() == ""


@pytest.mark.parametrize("upkeep", [False, True])
def test_a_run_that_was_paused_while_another_night_committed_brings_nothing_twice(
    upkeep: bool, made: Path, tmp_path: Path
) -> None:
    """The other night adopts what it had finished; after a compaction and a vacuum its fragments are gone."""
    store = Path(shutil.copytree(made / "store", tmp_path / "store"))
    write_pictures(tmp_path / "pictures", 3, seed=7)
    arguments = [f"--input={tmp_path}/pictures", f"--output={store}"]
    pause = Pause("transforms.extraction.beam:commit_run", seconds=0.1)
    process = start_program("extract", [*arguments, "--run_id=paused"], tmp_path / "program", pause)
    while not (tmp_path / "program" / "reached").exists():
        assert process.is_alive(), (tmp_path / "program" / "stderr").read_text()
        time.sleep(0.02)
    assert process.pid is not None
    os.killpg(process.pid, signal.SIGSTOP)
    assert extract(*arguments)["adopted"] == 3
    if upkeep:
        for command in (["compact"], ["vacuum", "--retention=0h", "--allow_short_retention"]):
            assert maintain_command.main([str(store), *command]) == 0
    os.killpg(process.pid, signal.SIGCONT)
    process.join(60)
    said = (tmp_path / "program" / "stderr").read_text()
    assert process.exitcode == (1 if upkeep else 0), said
    if upkeep:
        assert re.fullmatch(r"error: .*nothing of it is visible.*", said.splitlines()[-1]), said
    rows = FeatureStore.open(str(store)).scan(["uri"]).to_numpy("uri").tolist()
    assert len(rows) == len(set(rows)) == 4 * len(FOLDERS) + 3
