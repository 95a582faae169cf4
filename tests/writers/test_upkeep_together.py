"""Upkeep commands and runs at once, as processes: the newest version can be read whole, whatever came in between."""

import multiprocessing
import random
from pathlib import Path

import pytest

from pipelines import maintain as maintain_command
from schemas.errors import ConvbaseError
from schemas.fragments import TableName
from schemas.maintenance import check_table
from schemas.store import FeatureStore
from tests.support.fragments import SPEC, contents, fragment

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["pipelines.maintain", "tests.support.fragments"])
ROUNDS = 10

COMMANDS = (
    ("restore", "--table_version=1"),
    ("restore", "--table_version=2"),
    ("vacuum", "--retention=0h", "--allow_short_retention"),
    ("vacuum", "--retention=0h", "--allow_short_retention"),
    ("compact",),
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
    written = fragment(store, {"a": number, f"new-{number}": number}, version=str(number), supersedes=True)
    store.commit_fragments(TableName.FEATURES, f"run-{number}", [written], store_versions(store))


def store_versions(store: FeatureStore) -> dict[TableName, int]:
    return {TableName.FEATURES: store.features().version()}


@pytest.mark.parametrize("seed", range(2))
def test_the_newest_version_is_whole_after_any_interleaving(seed: int, tmp_path: Path) -> None:
    shuffled = random.Random(seed)
    store = FeatureStore.create(str(tmp_path / "store"), SPEC)
    for number, rows in enumerate(({"a": 1, "b": 2}, {"c": 3}, {"d": 4})):
        store.commit_fragments(TableName.FEATURES, f"first-{number}", [fragment(store, rows)], {})
    for number in range(ROUNDS):
        chosen = shuffled.sample(COMMANDS, 3)
        processes = [CONTEXT.Process(target=upkeep, args=(store.uri, *command)) for command in chosen]
        processes.append(CONTEXT.Process(target=add, args=(store.uri, 10 + number)))
        for process in processes:
            process.start()
        for process in processes:
            process.join(120)
            assert process.exitcode == 0
        checked = check_table(store.uri, TableName.FEATURES, deep=True)
        assert checked is not None
        assert checked.damages == (), chosen
        assert contents(store)
