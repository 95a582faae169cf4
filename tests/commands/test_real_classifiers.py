"""Classifiers of real photographs, from real weights: how good they are, and that every way to use them agrees."""

from pathlib import Path

import keras
import numpy as np
import pytest

from pipelines import predict as predict_command
from schemas.delta import Scan
from schemas.fragments import TableName
from schemas.store import FeatureStore, PredictionTables
from tests.conftest import extract, train


@pytest.fixture(scope="session")
def model(dogs_vs_cats: FeatureStore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of the default recipe on MobileNet 0.25; do not change it."""
    folder = tmp_path_factory.mktemp("dogs_model") / "model"
    metrics = train(f"--features={dogs_vs_cats.uri}", f"--output={folder}")
    assert metrics["images"] == {"train": 2000, "validation": 1000, "test": 1000}
    assert metrics["validation_accuracy"] >= 0.95
    assert metrics["test_accuracy"] >= 0.93
    return folder


def test_the_default_recipe_tells_cats_from_dogs_on_mobilenet(model: Path) -> None:
    assert (model / "report.html").stat().st_size < 1_000_000


def test_the_default_recipe_tells_cats_from_dogs_on_mobilenet_v2(shared: Path, tmp_path: Path) -> None:
    weights = shared / "weights" / "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_224_no_top.h5"
    summary = extract(
        f"--input={shared}/images/dogs_vs_cats", "--labels_from=parent", "--conv_base=MobileNetV2",
        "--conv_base_arg=alpha=0.35", f"--weights={weights}", f"--output={tmp_path}/store",
    )  # fmt: skip
    assert summary["extracted"] == 4000
    metrics = train(f"--features={tmp_path}/store", f"--output={tmp_path}/model")
    assert metrics["validation_accuracy"] >= 0.955
    assert metrics["test_accuracy"] >= 0.95


def scores_by_uri(tables: Path) -> dict[str, list[float]]:
    rows = Scan(PredictionTables(str(tables)).table(TableName.PREDICTIONS), ["uri", "scores"]).to_arrow()
    return dict(zip(rows["uri"].to_pylist(), rows["scores"].to_pylist(), strict=True))


def test_all_ways_to_use_a_classifier_agree(
    model: Path, dogs_vs_cats: FeatureStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """60 pictures: Keras on raw pixels and on the table, and the command from images and from features, to 1e-4."""
    uris = dogs_vs_cats.scan().to_numpy("uri")
    chosen = np.random.default_rng(1).choice(len(uris), 60, replace=False)
    (tmp_path / "chosen.txt").write_text("\n".join(uris[chosen]))
    pixels = np.stack(
        [
            np.asarray(
                keras.utils.load_img(
                    uris[row].removeprefix("file://"), target_size=(224, 224), interpolation="bilinear"
                )
            )
            for row in chosen
        ]
    )
    features = dogs_vs_cats.scan().to_numpy("conv_pw_13_relu")[chosen]
    on_table = keras.saving.load_model(model / "classifier.keras").predict(features, verbose=0)[:, 0]
    on_pixels = keras.saving.load_model(model / "end_to_end.keras").predict(pixels, verbose=0)[:, 0]
    options = (f"--model={model}", "--runner=DirectRunner")
    predict_command.main([*options, f"--features={dogs_vs_cats.uri}", f"--output={tmp_path}/features"])
    assert "test        accuracy 0.9" in capsys.readouterr().out
    predict_command.main([*options, f"--input={tmp_path}/chosen.txt", f"--output={tmp_path}/images"])
    from_features, from_images = (scores_by_uri(tmp_path / name) for name in ("features", "images"))
    assert (len(from_features), len(from_images)) == (4000, 60)
    assert on_table.std() > 0.3
    for other in (
        on_pixels,
        [from_features[uri][1] for uri in uris[chosen]],
        [from_images[uri][1] for uri in uris[chosen]],
    ):
        np.testing.assert_allclose(other, on_table, atol=1e-4)
