"""Odd characters in the paths of stores, classifiers and predictions: commands are right, or refuse them at once."""

from pathlib import Path

import pytest

from pipelines import extract as extract_command
from pipelines import finetune as finetune_command
from pipelines import inspect as inspect_command
from pipelines import maintain as maintain_command
from pipelines import predict as predict_command
from pipelines import train as train_command
from schemas.delta import Scan
from schemas.delta.locations import delta_location
from schemas.errors import UsageError
from schemas.fragments import TableName
from schemas.store import FeatureStore, PredictionTables
from tests.conftest import SMALL_BASE, extract, write_pictures

TAKEN = "a b#c?d'é%zz*+&=,;:{x}<y>~!$(1)%"
REFUSED = ("[br]", "a%20b", "a%2Fb", "a\\b", "a\nb", "x^", "a|b")


def test_stores_classifiers_and_predictions_in_odd_folders(tmp_path: Path) -> None:
    """All of them beside a folder whose name is what a careless decoder makes of theirs."""
    root = tmp_path / TAKEN
    for number, label in enumerate("ab"):
        write_pictures(root / "photos" / label, 10, seed=number)
    options = (f"--input={root}/photos", "--labels_from=parent")
    assert extract(*options, f"--output={root}/store", *SMALL_BASE)["extracted"] == 20
    assert inspect_command.main([f"{root}/store"]) == 0
    fractions = ("--validation_fraction=0", "--test_fraction=0", "--l2=1")
    train_command.main([f"--features={root}/store", f"--output={root}/model", *fractions])
    for source in (f"--features={root}/store", f"--input={root}/photos"):
        predict_command.main([f"--model={root}/model", source, f"--output={root}/predictions"])
    predictions = PredictionTables(f"{root}/predictions").table(TableName.PREDICTIONS)
    assert sorted(Scan(predictions).to_arrow()["uri"].to_pylist()) == sorted(
        f"file://{path}" for path in (root / "photos").rglob("*.jpg")
    )
    (tmp_path / "gone.txt").write_text(f"{root}/photos/a/000.jpg\n")
    takedown = ["takedown", f"--uris={tmp_path}/gone.txt"]
    commands = [["compact"], ["vacuum"], ["history"], ["check", "--deep"]]
    for command in (takedown, ["restore", "--table_version=1"], *commands):
        assert maintain_command.main([f"{root}/store", *command]) == 0, command
    for command in commands:
        assert maintain_command.main([f"{root}/predictions", *command]) == 0, command
    assert extract(*options, f"--output={root}/store")["extracted"] == 0
    assert FeatureStore.open(f"{root}/store").scan().count() == 19
    assert {path.name for path in tmp_path.iterdir()} == {TAKEN, "gone.txt"}


@pytest.mark.parametrize("name", REFUSED)
def test_what_delta_takes_for_something_else_is_refused_before_any_work(name: str, tmp_path: Path) -> None:
    store = f"{tmp_path}/{name}/store"
    photos = write_pictures(tmp_path / "photos", 1)[0]
    for main, arguments in (
        (extract_command.main, [f"--input={photos}", f"--output={store}", *SMALL_BASE]),
        (extract_command.main, [f"--input={photos}", f"--output={store}", *SMALL_BASE, "--dry_run"]),
        (inspect_command.main, [store]),
        (train_command.main, [f"--features={store}", f"--output={tmp_path}/model"]),
        (maintain_command.main, [store, "compact"]),
        (maintain_command.main, [store, "check"]),
    ):
        with pytest.raises(UsageError, match=r"A Delta table cannot be at .* take another folder") as caught:
            main([*arguments])
        assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_predictions_are_refused_there_too(small_store: FeatureStore, tmp_path: Path) -> None:
    for name in REFUSED:
        with pytest.raises(UsageError, match="A Delta table cannot be at"):
            PredictionTables(f"{tmp_path}/{name}").create()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("uri", ["s3://bucket/a#b", "gs://bucket/a?b", "s3://bucket/a%20b"])
def test_a_url_that_ends_early_is_refused(uri: str) -> None:
    with pytest.raises(UsageError, match=r"A Delta table cannot be at"):
        delta_location(uri)
    assert delta_location("s3://bucket/a b") == "s3://bucket/a b"


def test_a_classifier_may_be_anywhere(small_store: FeatureStore, tmp_path: Path) -> None:
    folder = tmp_path / "[br]" / "a%20b"
    options = ("--validation_fraction=0", "--test_fraction=0", "--l2=1")
    train_command.main([f"--features={small_store.uri}", f"--output={folder}", *options])
    train_command.main([f"--features={small_store.uri}", f"--output={folder}", *options, "--overwrite"])
    predict_command.main([f"--model={folder}", f"--features={small_store.uri}", f"--output={tmp_path}/predictions"])
    assert [path.name for path in tmp_path.glob("a*")] == []
    with pytest.raises(UsageError, match="is the folder of --model"):
        finetune_command.main(
            [f"--model={folder}", f"--input={tmp_path}", f"--output={folder}", "--unfreeze_from=conv_pw_13"]
        )
