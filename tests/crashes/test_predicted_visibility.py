"""What a run of predictions says of what is visible is what its tables say, whatever ends it and wherever."""

from pathlib import Path

import pytest

from pipelines import predict as predict_command
from schemas.errors import ConvbaseError
from schemas.fragments import TableName
from schemas.storage import interruption
from schemas.store import FeatureStore, PredictionTables
from tests.conftest import clusters, store_of_features, train, write_pictures
from tests.support.moments import FAULTS, Moment, assert_told, set_fault

IMAGES = 4
_COMMIT = "schemas.commits.replacement:write_actions"
_SHARD = "transforms.prediction.beam:predict_shard"
MOMENTS = {
    "before the fragments": Moment(_SHARD),
    "after the fragments": Moment(_SHARD, done=True),
    "before the failures": Moment(_COMMIT, 1),
    "after the failures": Moment(_COMMIT, 1, done=True),
    "before the predictions": Moment(_COMMIT, 2),
    "after the predictions": Moment(_COMMIT, 2, done=True),
    "after the run": Moment("transforms.prediction.beam:commit_predictions", done=True),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, small_store: FeatureStore) -> Path:
    """A classifier, and pictures of which one is none; do not change them."""
    folder = tmp_path_factory.mktemp("made")
    features, classes = clusters((20, 20), features=256, distance=3.0)
    store_of_features(folder / "store", features, small_store, label=[("a", "b")[index] for index in classes])
    train(f"--features={folder}/store", f"--output={folder}/model", "--test_fraction=0", "--l2=1")
    write_pictures(folder / "pictures", IMAGES)
    (folder / "pictures" / "page.jpg").write_bytes(b"<html>")
    return folder


def right_clause(output: Path) -> str:
    """What has to be said of what is visible, by the rows in the tables; all rows of a table are visible or none."""
    tables = PredictionTables(str(output))
    predicted, failed = (
        tables.of_run(name, "night", ["uri"]).num_rows for name in (TableName.PREDICTIONS, TableName.FAILURES)
    )
    assert predicted in {0, IMAGES}
    if predicted:
        assert failed == 1
        return "it is complete"
    return "its failures are visible and none of its predictions" if failed else "nothing of it is visible"


@pytest.mark.slow
@pytest.mark.usefixtures("signals")
@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("moment", MOMENTS)
def test_what_is_said_of_predictions_is_visible(
    moment: str, name: str, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault, code, again = FAULTS[name]
    arguments = [
        f"--model={made}/model", f"--input={made}/pictures", f"--output={tmp_path}/out", "--run_id=night",
        "--max_failure_ratio=0.5", "--runner=DirectRunner",
    ]  # fmt: skip
    with monkeypatch.context() as patch:
        set_fault(patch, MOMENTS[moment], fault, again=again)
        try:
            ended, said = predict_command.main(arguments), ""
        except ConvbaseError as error:
            ended, said = error.exit_code, str(error)
    clause = right_clause(tmp_path / "out")
    sentence, *failures = said.splitlines() or [""]
    assert all(line.startswith("  not_an_image  file://") for line in failures)
    assert_told(ended, code, clause, sentence)
    monkeypatch.setattr(interruption, "_signals", [])
    assert predict_command.main(arguments) == 0
    assert right_clause(tmp_path / "out") == "it is complete"
