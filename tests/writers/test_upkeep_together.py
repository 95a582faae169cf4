"""Upkeep commands and runs at once, as processes: the newest version can be read whole, whatever came in between.

`UPKEEP_ROUNDS=100 pytest tests/writers/test_upkeep_together.py` tries so many rounds with each seed.
"""

import multiprocessing
import os
import random
from pathlib import Path

import pytest

from pipelines import maintain as maintain_command
from schemas.errors import ConvbaseError
from schemas.fragments import TableName
from schemas.maintenance import all_damage
from schemas.store import FeatureStore
from tests.support.fragments import SPEC, contents, fragment

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["pipelines.maintain", "tests.support.fragments"])
ROUNDS = int(os.environ.get("UPKEEP_ROUNDS", "10"))

CHANGED, GONE = "file:///a", "file:///d"
COMMANDS = (
    ("restore", "--table_version=1"),
    ("restore", "--table_version=2"),
    ("vacuum", "--retention=0h", "--allow_short_retention"),
    ("vacuum", "--retention=0h", "--allow_short_retention"),
    ("compact",),
    ("compact",),
    ("takedown", "--uris={gone}"),
    ("check", "--deep", "--repair"),
)


def upkeep(uri: str, *command: str) -> None:
    """Runs an upkeep command; what it refuses with a sentence is right too, such as a version that is gone."""
    try:
        maintain_command.main([uri, *command])
    except ConvbaseError as error:
        print(f"{command[0]}: {error}")


def add(uri: str, number: int) -> None:
    """Commits a run that supersedes an image."""
    store = FeatureStore.open(uri)
    rows = {CHANGED: number, f"file:///new-{number}": number}
    written = fragment(store, rows, version=str(number), supersedes=True)
    store.commit_fragments(TableName.FEATURES, f"run-{number}", [written], store_versions(store))


def store_versions(store: FeatureStore) -> dict[TableName, int]:
    return {TableName.FEATURES: store.features().version()}


@pytest.mark.timeout(60 + 10 * ROUNDS)
@pytest.mark.parametrize("seed", range(2))
def test_the_newest_version_is_whole_after_any_interleaving(seed: int, tmp_path: Path) -> None:
    shuffled = random.Random(seed)
    store = FeatureStore.create(str(tmp_path / "store"), SPEC)
    for number, rows in enumerate(({CHANGED: 1, "file:///b": 2}, {"file:///c": 3}, {GONE: 4})):
        store.commit_fragments(TableName.FEATURES, f"first-{number}", [fragment(store, rows)], {})
    (tmp_path / "gone.txt").write_text(f"{GONE}\n")
    taken_down = False
    for number in range(ROUNDS):
        chosen = [[part.format(gone=tmp_path / "gone.txt") for part in each] for each in shuffled.sample(COMMANDS, 3)]
        processes = [CONTEXT.Process(target=upkeep, args=(store.uri, *command)) for command in chosen]
        processes.append(CONTEXT.Process(target=add, args=(store.uri, 10 + number)))
        for process in processes:
            process.start()
        for process in processes:
            process.join(120)
            assert process.exitcode == 0, (number, chosen)
        for name, checked in all_damage(store.uri, deep=True):
            assert checked.damages == (), (number, name, chosen)
        rows = contents(store)
        commands = [command for command, *_ in chosen]
        assert (CHANGED, str(10 + number)) in rows or "restore" in commands, (number, chosen)
        taken_down = taken_down or "takedown" in commands
        assert not (taken_down and GONE in {uri for uri, _ in rows}), (number, chosen)
