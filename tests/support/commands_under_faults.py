"""Commands that write to a store, and what has to hold after a fault anywhere in them; see `test_every_write.py`.

Each is a scenario: `prepare` makes a folder, `act` is what the fault happens to, and `recover` is the command again,
the next run, and the comparison with what is right.
"""

import contextlib
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from pipelines import maintain
from schemas.delta import paths_of, transactions
from schemas.maintenance import all_damage
from schemas.store import FeatureStore, RunState
from tests.support.nights import BAD, SPEC, MeanColours, World, loading_pools
from transforms.conv_bases.publishing import (
    CONV_BASE_FILES,
    PreparedConvBase,
    damaged_files,
    fetch_published,
    replace_files,
)
from transforms.extraction import Worker

Colours = Mapping[str, int]

FIRST: Colours = {"a.png": 10, "b.png": 20, "c.png": 30, "bad.png": BAD}
# One is changed and three are new, one of them none.
SECOND: Colours = {"b.png": 40, "d.png": 50, "e.png": 60, "worse.png": BAD}
BASE = dict(zip(CONV_BASE_FILES, (b"keras" * 100, b"<net>" * 100, b"weights" * 100), strict=True))
NEW_NETWORK = {"base.xml": b"<new>" * 90, "base.bin": b"better!" * 90}


def world_in(folder: Path) -> World:
    """The world in a folder, whose store is there."""
    engine = MeanColours()
    store = FeatureStore.open(str(folder / "a store #1"))
    return World.of(store, folder / "pictures", Worker(engine, loading_pools()))


def put(world: World, colours: Colours, clock: int) -> None:
    world._clock = clock
    for name, colour in colours.items():
        world.put(name, colour)


def colours_in(world: World) -> dict[str, int]:
    return {name: colour for name, (_, colour) in world.rows().items()}


def good(*parts: Colours) -> dict[str, int]:
    return {name: colour for part in parts for name, colour in part.items() if colour != BAD}


def upkeep(world: World, *arguments: str) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        assert maintain.main([world.store.uri, *arguments]) == 0


# What is there before.


def one_night(folder: Path) -> None:
    world = World(folder)
    put(world, FIRST, 1_700_000_000)
    world.extract()
    put(world, SECOND, 1_700_000_100)


def two_nights(folder: Path) -> None:
    one_night(folder)
    world_in(folder).extract()


def compacted(folder: Path) -> None:
    two_nights(folder)
    upkeep(world_in(folder), "compact")


def damaged(folder: Path) -> None:
    two_nights(folder)
    world = world_in(folder)
    path = world.store_folder / "features" / sorted(paths_of(world.store.features()))[0]
    path.write_bytes(path.read_bytes()[:-5])


def unpublished(folder: Path) -> None:
    (folder / "built").mkdir(parents=True)
    for name, content in BASE.items():
        (folder / "built" / name).write_bytes(content)


def published(folder: Path) -> None:
    unpublished(folder)
    publish(folder)
    for name, content in NEW_NETWORK.items():
        (folder / "built" / name).write_bytes(content)


# What a fault happens to.


def extract(folder: Path) -> None:
    world_in(folder).extract()


def publish(folder: Path) -> None:
    PreparedConvBase(SPEC, folder / "built").publish(str(folder / "store"))
    FeatureStore.create(str(folder / "store"), SPEC)


def replace_network(folder: Path) -> None:
    replace_files(folder / "built", list(NEW_NETWORK), FeatureStore.open(str(folder / "store")).conv_base_uri)


def maintained(*arguments: str) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        uris = folder / "gone.txt"
        uris.write_text(f"{folder}/pictures/c.png\n")
        upkeep(world_in(folder), *(argument.format(uris=uris) for argument in arguments))

    return act


# What is right.


def rows_are(*before: dict[str, int]) -> Callable[[Path], None]:
    """The rows are one of these, whatever has happened."""

    def check(folder: Path) -> None:
        assert colours_in(world_in(folder)) in before

    return check


def unread(folder: Path) -> None:
    """Nothing is sure of a damaged store."""


def network_is_whole(folder: Path) -> None:
    """Whoever loads the network gets all of the old one or all of the new one."""
    store = FeatureStore.open(str(folder / "store"))
    with contextlib.suppress(FileExistsError):
        (folder / "fetched").mkdir()
    fetch_published(store.conv_base_uri, CONV_BASE_FILES, folder / "fetched")
    found = {name: (folder / "fetched" / name).read_bytes() for name in CONV_BASE_FILES}
    assert found in (BASE, {**BASE, **NEW_NETWORK})


def next_run_makes(down: frozenset[str] = frozenset()) -> Callable[[Path], None]:
    """The next run brings what is missing, and everything agrees with the dictionary."""

    def check(folder: Path) -> None:
        world = world_in(folder)
        world.extract()
        right = {name: colour for name, colour in good(FIRST, SECOND).items() if name not in down}
        assert colours_in(world) == right
        assert {name for name, _ in world.failures()} == {"bad.png", "worse.png"}
        world.check_log()
        assert all(not checked.damages for _, checked in all_damage(world.store.uri, deep=True))
        assert world.plan().planned == []
        every_run_has_a_row(world)

    return check


def every_run_has_a_row(world: World) -> None:
    rows = world.runs()
    committed = [row["run_id"] for row in rows if row["state"] in {RunState.COMPLETE, RunState.RECOVERED}]
    assert len(set(committed)) >= 2
    for row in rows:
        assert row["state"] in {RunState.COMPLETE, RunState.RECOVERED}, row
    whole = [row["run_id"] for row in rows if row["table_version"] is not None]
    assert len(whole) == len(set(whole)), "one row for each run that has committed"


def base_is_published(folder: Path) -> None:
    store = FeatureStore.open(str(folder / "store"))
    assert damaged_files(store.conv_base_uri) == []
    network_is_whole(folder)


def network_is_new(folder: Path) -> None:
    base_is_published(folder)
    assert (folder / "fetched" / "base.xml").read_bytes() == NEW_NETWORK["base.xml"]


class Scenario(NamedTuple):
    """A command that writes.

    Attributes:
        prepare: Makes the folder in which it works.
        act: The command.
        always: What holds right after the fault, whatever it was.
        right: What holds once the command was given again, and has succeeded.
    """

    prepare: Callable[[Path], None]
    act: Callable[[Path], None]
    always: Callable[[Path], None]
    right: Callable[[Path], None]


BOTH = good(FIRST, SECOND)
TAKEN = {name: colour for name, colour in BOTH.items() if name != "c.png"}
VACUUM = ("vacuum", "--retention=0h", "--allow_short_retention")

SCENARIOS: Mapping[str, Scenario] = {
    "extract": Scenario(one_night, extract, rows_are(good(FIRST), BOTH), next_run_makes()),
    "publish": Scenario(unpublished, publish, unread, base_is_published),
    "republish": Scenario(published, replace_network, network_is_whole, network_is_new),
    "compact": Scenario(two_nights, maintained("compact"), rows_are(BOTH), next_run_makes()),
    "vacuum": Scenario(compacted, maintained(*VACUUM), rows_are(BOTH), next_run_makes()),
    "restore": Scenario(
        two_nights, maintained("restore", "--table_version=1"), rows_are(BOTH, good(FIRST)), next_run_makes()
    ),
    "takedown": Scenario(
        two_nights, maintained("takedown", "--uris={uris}"), rows_are(BOTH, TAKEN), next_run_makes(frozenset({"c.png"}))
    ),
    "check --repair": Scenario(damaged, maintained("check", "--deep", "--repair"), unread, next_run_makes()),
}


def prepare(folder: str, name: str) -> None:
    SCENARIOS[name].prepare(Path(folder))


def act(folder: str, name: str) -> None:
    transactions._FIRST_PAUSE_SECONDS = 0.001
    SCENARIOS[name].act(Path(folder))


def recover(folder: str, name: str) -> None:
    """Looks at what the fault has left, gives the command again, and compares all of it with what is right."""
    scenario = SCENARIOS[name]
    scenario.always(Path(folder))
    scenario.act(Path(folder))
    scenario.right(Path(folder))
