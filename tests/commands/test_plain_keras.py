"""The `.keras` files of a classifier without this project: Keras alone opens them, on its backends, and trains on."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from schemas.delta import Scan
from schemas.store import FeatureStore
from tests.conftest import SMALL_BASE, extract, train, write_pictures
from transforms.decoding import DecodingLimits, DecodingRules, decode_image

SHAPES = ("discs", "squares", "stripes")

# What anybody would write who has the folder, pictures and features.
SCRIPT = """
import sys
import keras
import numpy as np

folder, given, found = sys.argv[1:]
given = np.load(given)
classifier = keras.saving.load_model(f"{folder}/classifier.keras")
end_to_end = keras.saving.load_model(f"{folder}/end_to_end.keras")
on_features = classifier.predict(given["features"], verbose=0)
on_pixels = end_to_end.predict(given["pixels"], verbose=0)
end_to_end.trainable = True
end_to_end.compile(keras.optimizers.SGD(1e-3), "sparse_categorical_crossentropy")
losses = [float(end_to_end.evaluate(given["pixels"], given["targets"], verbose=0))]
for _ in range(3):
    losses += end_to_end.fit(given["pixels"], given["targets"], verbose=0).history["loss"]
np.savez(found, on_features=on_features, on_pixels=on_pixels, losses=losses)
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store of 12 pictures, and a classifier that was trained on all of them; do not change it."""
    folder = tmp_path_factory.mktemp("plain")
    for number, name in enumerate(SHAPES):
        write_pictures(folder / "pictures" / "train" / name, 4, seed=number)
    layers = "--layers=conv_pw_3_relu"
    extract(f"--input={folder}/pictures", "--labels_from=parent", f"--output={folder}/store", *SMALL_BASE, layers)
    options = ("--validation_fraction=0", "--test_fraction=0", "--split=hash")
    train(f"--features={folder}/store", f"--output={folder}/model", *options)
    return folder


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_keras_alone_says_what_the_report_does_and_trains_on(backend: str, trained: Path, tmp_path: Path) -> None:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"needs {backend}, which is not installed")
    store = FeatureStore.open(f"{trained}/store")
    rows = Scan(store.features(), ["uri", "label", "conv_pw_3_relu"]).to_arrow()
    targets = np.searchsorted(SHAPES, rows["label"].to_pylist())
    rules = DecodingRules.of_spec(store.spec, DecodingLimits())
    files = [Path(uri.removeprefix("file://")).read_bytes() for uri in rows["uri"].to_pylist()]
    np.savez(
        tmp_path / "given.npz",
        features=np.array(rows["conv_pw_3_relu"].to_pylist(), np.float32),
        pixels=np.stack([decode_image(file, rules).pixels for file in files]),
        targets=targets,
    )
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, f"{trained}/model", f"{tmp_path}/given.npz", f"{tmp_path}/found.npz"],
        cwd=tmp_path, env={**os.environ, "KERAS_BACKEND": backend}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    found = np.load(tmp_path / "found.npz")
    np.testing.assert_allclose(found["on_pixels"], found["on_features"], atol=1e-5)
    loss = -np.log(found["on_features"][np.arange(len(targets)), targets]).mean()
    metrics = json.loads((trained / "model" / "metrics.json").read_text())
    assert loss == pytest.approx(metrics["train_log_loss"], abs=1e-5)
    # The penalty of the fit goes on with it, and so the loss is more than that of the report.
    losses = found["losses"]
    assert losses[0] > loss
    assert np.isfinite(losses).all()
    assert losses[-1] != losses[0]
