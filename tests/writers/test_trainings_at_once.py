"""Trainings at once into one folder, as processes: one writes, the others wait or are refused; the folder is whole."""

import datetime
import os
import random
import re
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from pipelines import train as train_command
from schemas.classifiers import CARD_FILE, LOCK_FILE, Classifier, locked_folder, publish_classifier, reservation
from schemas.classifiers import classifier as classifier_module
from schemas.errors import ConvbaseError, DamagedModel, ModelNotWritable, RunFailed
from schemas.storage import file_system, write_file
from schemas.store import FeatureStore
from tests.conftest import clusters, store_of_features, train
from tests.support.children import CONTEXT, start_training
from tests.support.servers import s3_server
from tests.unit.schemas.classifiers.test_classifier import CONTENTS, publish, whole
from tests.unit.schemas.test_serialisation import CARD

WRITERS, PUBLICATIONS = 3, 6
L2 = ("10", "0.001")


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory, small_store: FeatureStore) -> str:
    """A store of clustered features with labels."""
    folder = tmp_path_factory.mktemp("features") / "store"
    values, classes = clusters((30, 30), features=256, distance=3.0)
    return store_of_features(folder, values, small_store, label=[("a", "b")[index] for index in classes]).uri


def arguments(features: str, output: Path, l2: str, *further: str) -> list[str]:
    return [f"--features={features}", f"--output={output}", "--test_fraction=0", f"--l2={l2}", *further]


@pytest.mark.parametrize("further", [(), ("--overwrite",)])
def test_of_two_trainings_that_begin_at_once_one_is_refused(
    further: tuple[str, ...], features: str, tmp_path: Path
) -> None:
    output, barrier = tmp_path / "models" / "model", CONTEXT.Barrier(2)
    if further:
        train(*arguments(features, output, "1"))
    logs = [tmp_path / f"{l2}.log" for l2 in L2]
    processes = [
        start_training(arguments(features, output, l2, *further), log, meet=barrier)
        for l2, log in zip(L2, logs, strict=True)
    ]
    for process in processes:
        process.join(120)
    codes = [process.exitcode for process in processes]
    assert sorted(map(str, codes)) == ["0", "2"], [log.read_text() for log in logs]
    assert re.fullmatch(
        rf"error: Another training writes to {output} \((process \d+ on .+|it has just begun)\); wait for its end, "
        r"or name another --output\.\n",
        logs[codes.index(2)].read_text(),
    )
    found = Classifier.open(str(output))
    assert found.card.options["l2"] == float(L2[codes.index(0)])
    assert all(found.files.read(name) for name in found.files.by_name)
    assert not (output / LOCK_FILE).exists()


def test_a_training_that_is_paused_keeps_others_out_and_goes_on(features: str, tmp_path: Path) -> None:
    output = tmp_path / "model"
    process = start_training(arguments(features, output, "10"), tmp_path / "log")
    while not (output / LOCK_FILE).exists():
        assert process.is_alive(), (tmp_path / "log").read_text()
        time.sleep(0.01)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGSTOP)
    with pytest.raises(ModelNotWritable, match="Another training writes to"):
        train_command.main(arguments(features, output, "1", "--overwrite"))
    os.kill(process.pid, signal.SIGCONT)
    process.join(120)
    assert process.exitcode == 0
    assert Classifier.open(str(output)).card.options["l2"] == 10.0


def test_a_training_that_is_killed_keeps_nobody_out_and_one_that_fails_leaves_no_folder(
    features: str, tmp_path: Path
) -> None:
    output = tmp_path / "models" / "model"
    process = start_training(arguments(features, output, "10"), tmp_path / "log")
    while not (output / LOCK_FILE).exists():
        assert process.is_alive(), (tmp_path / "log").read_text()
        time.sleep(0.01)
    process.kill()
    process.join()
    with pytest.raises(ConvbaseError, match="no features of a layer"):
        train_command.main(arguments(features, output, "1", "--layer=nonsense"))
    assert not list(output.iterdir())
    train(*arguments(features, output, "1"))
    assert not (output / LOCK_FILE).exists()
    with pytest.raises(ConvbaseError, match="no features of a layer"):
        train_command.main(arguments(features, tmp_path / "other" / "model", "1", "--layer=nonsense"))
    assert not (tmp_path / "other").exists()


def publish_in_turn(uri: str, seed: int) -> None:
    """Publishes classifiers as trainings do, one after the other, and tries again where it is refused."""
    shuffled = random.Random(seed)
    for _ in range(PUBLICATIONS):
        while True:
            try:
                with locked_folder(uri):
                    publish(uri, shuffled.choice(list(CONTENTS)))
                break
            except ModelNotWritable:
                time.sleep(shuffled.uniform(0, 0.01))


def test_publications_at_once_on_a_disk_leave_one_of_them_whole(tmp_path: Path) -> None:
    uri = str(tmp_path / "models" / "model")
    processes = [CONTEXT.Process(target=publish_in_turn, args=(uri, seed)) for seed in range(WRITERS)]
    for process in processes:
        process.start()
    opened = 0
    while any(process.is_alive() for process in processes):
        if Path(uri, CARD_FILE).exists():
            opened += read_again_if_replaced(uri)
    assert [process.exitcode for process in processes] == [0] * WRITERS
    assert whole(uri) in CONTENTS
    assert opened > 3
    assert {path.name for path in Path(uri).iterdir() if path.name.startswith((".", "replacement-"))} == set()


def read_again_if_replaced(uri: str) -> bool:
    """Reads all of a classifier; whether it was not replaced meanwhile, which readers are told."""
    try:
        return whole(uri) in CONTENTS
    except DamagedModel as error:
        assert "If the classifier was replaced meanwhile, start again" in str(error)  # noqa: PT017 (either is right)
        return False


def publish_to_bucket(uri: str, seed: int) -> None:
    reservation._SECONDS_BETWEEN_LOOKS = 0.02
    for name in random.Random(seed).sample(list(CONTENTS), len(CONTENTS)):
        publish(uri, name)


def test_publications_at_once_to_a_bucket_wait_for_each_other(tmp_path: Path) -> None:
    with s3_server() as server:
        uri = f"s3://{server.bucket}/models/model"
        processes = [CONTEXT.Process(target=bucket_child, args=(uri, seed, dict(os.environ))) for seed in range(3)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(120)
        assert [process.exitcode for process in processes] == [0] * len(processes)
        assert whole(uri) in CONTENTS
        fs, root = file_system(uri)
        assert not [path for path in fs.find(root) if "claim" in path or "replacement-" in path]


def bucket_child(uri: str, seed: int, environment: dict[str, str]) -> None:
    os.environ.update(environment)
    publish_to_bucket(uri, seed)


@pytest.fixture
def bucket() -> Iterator[str]:
    """A folder of storage that has no locks, in this process."""
    yield "memory://models/model"
    fsspec.filesystem("memory").store.clear()


def test_a_claim_that_a_killed_training_has_left_is_waited_for_and_then_taken_away(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_file(f"{bucket}/training.claim", b"of a dead one")
    monkeypatch.setattr(reservation, "_SECONDS_BETWEEN_LOOKS", 0.01)
    waiting = threading.Thread(target=publish, args=(bucket, "new"))
    waiting.start()
    waiting.join(0.2)
    assert waiting.is_alive()
    monkeypatch.setattr(reservation, "_ABANDONED_AFTER", datetime.timedelta(seconds=0.1))
    waiting.join(20)
    assert whole(bucket) == "new"
    fs, root = file_system(bucket)
    assert not [path for path in fs.find(root) if "claim" in path]


@pytest.mark.parametrize("before", [None, "old"])
def test_one_that_was_paused_until_another_took_over_writes_nothing_more(
    before: str | None, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reservation, "_ABANDONED_AFTER", datetime.timedelta(microseconds=-1))
    number, paused = 0, True
    while paused:
        uri, paused = f"{bucket}/{number}", False
        if before is not None:
            publish(uri, before)
        writes = iter(range(number))

        def write(file_uri: str, data: bytes, left: Iterator[int] = writes, uri: str = uri) -> None:
            nonlocal paused
            write_file(file_uri, data)
            if next(left, None) is None and not paused:
                paused = True
                publish(uri, "new")

        with monkeypatch.context() as patch:
            patch.setattr(classifier_module, "write_file", write)
            try:
                publish_classifier(uri, CARD, {"labels.json": CONTENTS["old"]["labels.json"], "notes.txt": b"slow"})
            except RunFailed as error:
                assert "Another training has taken over" in str(error)  # noqa: PT017 (either is right)
            else:
                assert not paused
        assert not paused or whole(uri) == "new", number
        number += 1
    assert number > (6 if before else 3)
