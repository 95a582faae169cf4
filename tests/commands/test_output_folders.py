"""A store, predictions, a classifier and an exploration need a folder each; printed commands can be pasted."""

import shlex
from pathlib import Path

import pytest

from pipelines import explore as explore_command
from pipelines import extract as extract_command
from pipelines import inspect as inspect_command
from pipelines import predict as predict_command
from pipelines import train as train_command
from pipelines.jobs import draw_samples
from schemas.classifiers import Classifier
from schemas.errors import UsageError
from schemas.store import FeatureStore
from tests.conftest import SMALL_BASE, extract, train


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose name has a space and an umlaut, with pictures, a store, a classifier and predictions in it."""
    made = tmp_path_factory.mktemp("Fotos Köln")
    draw_samples(made / "photos")
    extract(f"--input={made}/photos", "--labels_from=parent", f"--output={made}/store", *SMALL_BASE)
    train(f"--features={made}/store", f"--output={made}/model")
    arguments = [f"--model={made}/model", f"--features={made}/store", f"--output={made}/predictions", "--thumbnails=0"]
    assert predict_command.main(arguments) == 0
    return made


@pytest.mark.parametrize(
    ("command", "output", "sentence"),
    [
        ("extract", "model", "holds a classifier; a feature store needs a folder of its own."),
        ("extract", "predictions", "holds predictions; a feature store needs a folder of its own."),
        ("train", "store", "holds a feature store; a classifier needs a folder of its own."),
        ("train", "predictions", "holds predictions; a classifier needs a folder of its own."),
        ("predict", "model", "holds a classifier; predictions need a folder of their own."),
        ("predict", "store", "holds a feature store; predictions need a folder of their own."),
        ("explore", "store", "holds a feature store; an exploration needs a folder of its own."),
        ("explore", "model", "holds a classifier; an exploration needs a folder of its own."),
    ],
)
def test_a_folder_of_another_kind_is_refused(command: str, output: str, sentence: str, folder: Path) -> None:
    before = sorted(folder.rglob("*"))
    main, *arguments = {
        "extract": (extract_command.main, f"--input={folder}/photos", *SMALL_BASE),
        "train": (train_command.main, f"--features={folder}/store"),
        "predict": (predict_command.main, f"--model={folder}/model", f"--features={folder}/store"),
        "explore": (explore_command.main, f"{folder}/store"),
    }[command]
    with pytest.raises(UsageError, match=sentence):
        main([*arguments, f"--output={folder}/{output}"])
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize(
    ("kind", "held", "sentence"),
    [
        (FeatureStore, "predictions", "There is no feature store at .*/predictions, which holds predictions."),
        (FeatureStore, "model", "There is no feature store at .*/model, which holds a classifier."),
        (Classifier, "predictions", "There is no classifier at .*/predictions, which holds predictions."),
        (Classifier, "store", "There is no classifier at .*/store, which holds a feature store."),
    ],
)
def test_what_a_folder_holds_is_said_in_place_of_a_command_that_would_refuse_it(
    kind: type[FeatureStore] | type[Classifier], held: str, sentence: str, folder: Path
) -> None:
    with pytest.raises(UsageError, match=f"^{sentence}$"):
        kind.open(f"{folder}/{held}")


def test_the_command_that_an_extraction_names_shows_its_store(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    extract(f"--input={folder}/photos", "--labels_from=parent", f"--output={folder}/store")
    named = capsys.readouterr().out.splitlines()[-1]
    words = shlex.split(named.removeprefix("Look at it: "))
    assert words[:3] == ["python", "-m", "pipelines.inspect"]
    assert inspect_command.main(words[3:]) == 0
    assert capsys.readouterr().out.startswith(f"Store file://{folder}/store, version 1\n  144 rows in 1 file, ")
