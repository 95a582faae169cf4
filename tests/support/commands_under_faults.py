"""Commands that write, and what has to hold after a fault anywhere in them; see `test_every_write.py`.

Each is a scenario: its steps make a folder, `act` is what the fault happens to, and `recover` is the command again,
the next run, and the comparison with what is right.
"""

import contextlib
import io
import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple
from unittest import mock

from deltalake.exceptions import TableNotFoundError

from pipelines import finetune as finetune_command
from pipelines import maintain
from pipelines import predict as predict_command
from pipelines import train as train_command
from schemas.classifiers import NETWORKS_FOLDER, Classifier, holds_classifier
from schemas.delta import Scan, paths_of, transactions
from schemas.fragments import TableName
from schemas.maintenance import all_damage
from schemas.store import FeatureStore, PredictionTables, RunState
from tests.conftest import SMALL_BASE, write_pictures
from tests.conftest import extract as extract_pictures
from tests.support.fine_tuning import MODEL_ID, without_tensorflow
from tests.support.nights import BAD, SPEC, MeanColours, World, loading_pools
from transforms.conv_bases.published import damaged_files, fetch_published
from transforms.conv_bases.publishing import PreparedConvBase, replace_files
from transforms.extraction import Worker
from transforms.origins import CONV_BASE_FILES

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


def another_night(folder: Path) -> None:
    world_in(folder).extract()


def compaction(folder: Path) -> None:
    upkeep(world_in(folder), "compact")


def damage(folder: Path) -> None:
    world = world_in(folder)
    path = world.store_folder / "features" / sorted(paths_of(world.store.features()))[0]
    path.write_bytes(path.read_bytes()[:-5])


def unpublished(folder: Path) -> None:
    (folder / "built").mkdir(parents=True)
    for name, content in BASE.items():
        (folder / "built" / name).write_bytes(content)


def publication(folder: Path) -> None:
    """Publishes a base, which is exported again since."""
    publish(folder)
    for name, content in NEW_NETWORK.items():
        (folder / "built" / name).write_bytes(content)


IMAGES = 4
LABELS = ("discs", "stripes")
NEW, OLD = "--l2=0.001", "--l2=10"


def labelled(folder: Path) -> None:
    """Pictures of two classes, their features, and a classifier in `new`, whose networks are in `composed`, too."""
    for number, name in enumerate(LABELS):
        write_pictures(folder / "pictures" / "train" / name, IMAGES, seed=number)
        write_pictures(folder / "pictures" / "validation" / name, IMAGES, seed=10 + number)
    labels = ("--labels_from=parent", "--layers=conv_pw_1_relu")
    extract_pictures(f"--input={folder}/pictures", f"--output={folder}/store", *labels, *SMALL_BASE)
    train(folder, folder / "new", NEW)
    (folder / "composed").mkdir()
    for path in [
        *(folder / "new").glob("*.keras"),
        *(folder / "new").glob("*.onnx"),
        *(folder / "new" / NETWORKS_FOLDER).iterdir(),
    ]:
        shutil.copy(path, folder / "composed")


def older_classifier(folder: Path) -> None:
    """Trains another classifier, which is in `model`, too, as if it were in use."""
    train(folder, folder / "old", OLD)
    shutil.copytree(folder / "old", folder / "model")


def bad_picture(folder: Path) -> None:
    """Puts a picture that is none among those that are to be predicted."""
    (folder / "pictures" / "page.jpg").write_bytes(b"<html>")


# What a fault happens to.


def train(folder: Path, output: Path, *options: str) -> None:
    given = (f"--features={folder}/store", f"--output={output}", "--split=column", "--test_fraction=0", *options)
    with contextlib.redirect_stdout(io.StringIO()):
        assert train_command.main(given) == 0


def train_again(folder: Path) -> None:
    """Trains what is in `new` into `model`; its networks are composed already, in a process that writes elsewhere."""

    @contextlib.contextmanager
    def composed(_: FeatureStore) -> Iterator[SimpleNamespace]:
        done: Future[str] = Future()
        done.set_result("")
        composer = SimpleNamespace(folder=folder / "composed", start=lambda *_: done)
        composer.of = lambda _: contextlib.nullcontext(composer)
        yield composer

    with mock.patch.object(train_command, "composer_for", composed):
        train(folder, folder / "model", NEW, "--overwrite")


EPOCHS = 2


def finetune(folder: Path) -> None:
    """Fine-tunes what is in `new` into `model`, where it goes on from a checkpoint that may be there."""
    given = (f"--model={folder}/new", f"--input={folder}/pictures", f"--output={folder}/model", f"--epochs={EPOCHS}")
    options = ("--labels_from=parent", "--unfreeze_from=conv_pw_1", "--patience=0", "--test_fraction=0", "--overwrite")
    with contextlib.redirect_stdout(io.StringIO()), without_tensorflow(folder / "composed"):
        assert finetune_command.main([*given, *options]) == 0


def predict(folder: Path) -> None:
    output = (f"--output={folder}/predictions", "--run_id=night", "--max_failure_ratio=0.5")
    with contextlib.redirect_stdout(io.StringIO()):
        assert predict_command.main([f"--model={folder}/new", f"--input={folder}/pictures", *output]) == 0


def extract(folder: Path) -> None:
    world_in(folder).extract()


def publish(folder: Path) -> None:
    base = PreparedConvBase(SPEC, folder / "built").publish(str(folder / "store"))
    FeatureStore.create(str(folder / "store"), SPEC, base.files)


def replace_network(folder: Path) -> None:
    replace_files(folder / "built", list(NEW_NETWORK), FeatureStore.open(str(folder / "store")))


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
    fetch_published(store.conv_base(), CONV_BASE_FILES, folder / "fetched")
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
    assert damaged_files(store.conv_base()) == []
    network_is_whole(folder)


def network_is_new(folder: Path) -> None:
    base_is_published(folder)
    assert (folder / "fetched" / "base.xml").read_bytes() == NEW_NETWORK["base.xml"]


def model_in(folder: Path) -> str | None:
    """Returns which classifier is in `model`, all of whose files are its own; None if there is none."""
    if not holds_classifier(f"{folder}/model"):
        return None
    found = Classifier.open(f"{folder}/model")
    assert all(found.files.read(name) for name in found.files.by_name)
    return found.card.model_id


def model_is_whole(folder: Path) -> None:
    """Whoever opens the classifier gets all of the old one or all of the new one, or none where there was none."""
    found = model_in(folder)
    assert found is not None or not (folder / "old").exists()


def model_is_new(folder: Path) -> None:
    assert model_in(folder) == Classifier.open(f"{folder}/new").card.model_id
    only_its_files(folder)


def model_is_tuned(folder: Path) -> None:
    assert model_in(folder) == MODEL_ID
    assert Classifier.open(f"{folder}/model").card.epochs == EPOCHS
    only_its_files(folder)


def only_its_files(folder: Path) -> None:
    found = Classifier.open(f"{folder}/model")
    files = {str(path.relative_to(folder / "model")) for path in (folder / "model").rglob("*") if path.is_file()}
    assert files == {"model_card.json", *found.files.by_name}


def predictions_in(folder: Path) -> tuple[int, int]:
    """Returns how many predictions and failures are visible; each image is there once."""
    tables = PredictionTables.find(f"{folder}/predictions")
    if tables is None:
        return 0, 0
    rows = tables.of_run(TableName.PREDICTIONS, "night", ["uri"])["uri"].to_pylist()
    assert len(set(rows)) == len(rows) == Scan(tables.table(TableName.PREDICTIONS)).count()
    return len(rows), tables.of_run(TableName.FAILURES, "night", ["uri"]).num_rows


ALL_PREDICTED = (4 * IMAGES, 1)


def predictions_are_whole(folder: Path) -> None:
    """All predictions of the run are visible or none, and its failures before them."""
    with contextlib.suppress(TableNotFoundError):  # Killed between the two tables.
        assert predictions_in(folder) in ((0, 0), (0, 1), ALL_PREDICTED)


def all_is_predicted(folder: Path) -> None:
    assert predictions_in(folder) == ALL_PREDICTED
    assert f"Of {4 * IMAGES} predictions of run night" in Path(folder, "predictions/least_sure.html").read_text()
    assert all(not checked.damages for _, checked in all_damage(f"{folder}/predictions", deep=True))


class Scenario(NamedTuple):
    """A command that writes.

    Attributes:
        steps: Make the folder in which it works, one after the other.
        act: The command.
        always: What holds right after the fault, whatever it was.
        right: What holds once the command was given again, and has succeeded.
    """

    steps: tuple[Callable[[Path], None], ...]
    act: Callable[[Path], None]
    always: Callable[[Path], None]
    right: Callable[[Path], None]


BOTH = good(FIRST, SECOND)
TAKEN = {name: colour for name, colour in BOTH.items() if name != "c.png"}
NIGHTS = (one_night, another_night)
VACUUM = ("vacuum", "--retention=0h", "--allow_short_retention")

SCENARIOS: Mapping[str, Scenario] = {
    "extract": Scenario((one_night,), extract, rows_are(good(FIRST), BOTH), next_run_makes()),
    "publish": Scenario((unpublished,), publish, unread, base_is_published),
    "republish": Scenario((unpublished, publication), replace_network, network_is_whole, network_is_new),
    "compact": Scenario(NIGHTS, maintained("compact"), rows_are(BOTH), next_run_makes()),
    "vacuum": Scenario((*NIGHTS, compaction), maintained(*VACUUM), rows_are(BOTH), next_run_makes()),
    "restore": Scenario(
        NIGHTS, maintained("restore", "--table_version=1"), rows_are(BOTH, good(FIRST)), next_run_makes()
    ),
    "takedown": Scenario(
        NIGHTS, maintained("takedown", "--uris={uris}"), rows_are(BOTH, TAKEN), next_run_makes(frozenset({"c.png"}))
    ),
    "check --repair": Scenario((*NIGHTS, damage), maintained("check", "--deep", "--repair"), unread, next_run_makes()),
    "train": Scenario((labelled,), train_again, model_is_whole, model_is_new),
    "train --overwrite": Scenario((labelled, older_classifier), train_again, model_is_whole, model_is_new),
    "finetune": Scenario((labelled,), finetune, model_is_whole, model_is_tuned),
    "predict": Scenario((labelled, bad_picture), predict, predictions_are_whole, all_is_predicted),
}


def prepare(folder: str, name: str, step: str) -> None:
    SCENARIOS[name].steps[int(step)](Path(folder))


def act(folder: str, name: str) -> None:
    transactions._FIRST_PAUSE_SECONDS = 0.001
    SCENARIOS[name].act(Path(folder))


def recover(folder: str, name: str) -> None:
    """Looks at what the fault has left, gives the command again, and compares all of it with what is right."""
    scenario = SCENARIOS[name]
    scenario.always(Path(folder))
    scenario.act(Path(folder))
    scenario.right(Path(folder))
