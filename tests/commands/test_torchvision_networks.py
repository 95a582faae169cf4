"""Architectures of torchvision, as PyTorch exports them: features are PyTorch's, and feed a classifier."""

import dataclasses
import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines import predict as predict_command
from schemas.delta import Scan
from schemas.fragments import TableName
from schemas.store import FeatureStore, PredictionTables
from tests.conftest import REPOSITORY, extract, train, write_tinted_pictures
from tests.support.torchvision_networks import NETWORKS, SIDE

NEEDED = ("torch", "torchvision", "onnxscript")
pytestmark = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, NEEDED)), reason=f"needs {', '.join(NEEDED)} (make torch-test installs them)"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 pictures in two tints, as large as the networks take them, the networks, and PyTorch's features."""
    folder = tmp_path_factory.mktemp("torchvision")
    write_tinted_pictures(folder / "photos", {"train": 7, "validation": 3, "test": 2}, (SIDE, SIDE))
    np.save(
        folder / "pixels.npy", [np.asarray(Image.open(path)) for path in sorted((folder / "photos").rglob("*.png"))]
    )
    module = "tests.support.torchvision_networks"
    subprocess.run([sys.executable, "-m", module, folder], cwd=REPOSITORY, check=True)
    return folder


@dataclasses.dataclass(frozen=True)
class Extracted:
    """What a network makes of the pictures.

    Attributes:
        store: Their features.
        expected: PyTorch's, by layer, in the order of the URIs.
    """

    store: FeatureStore
    expected: dict[str, np.ndarray]


@pytest.fixture(scope="module", params=NETWORKS)
def extracted(request: pytest.FixtureRequest, folder: Path) -> Extracted:
    name, store = request.param, f"{folder}/{request.param}-store"
    base = (f"--conv_base={folder}/{name}.onnx", "--preprocess=torch", f"--layers={','.join(NETWORKS[name].layers)}")
    extract(f"--input={folder}/photos", "--labels_from=parent", f"--output={store}", *base)
    return Extracted(FeatureStore.open(store), dict(np.load(folder / f"{name}.npz")))


def test_features_are_those_of_pytorch(extracted: Extracted) -> None:
    order = np.argsort(extracted.store.scan().to_numpy("uri"))
    for name, expected in extracted.expected.items():
        ours = extracted.store.scan().to_numpy(name)[order]
        assert expected.std(axis=0).max() > 0.01
        assert np.abs(ours - expected).max() <= 1e-5 * np.abs(expected).max()


def test_they_feed_a_classifier(extracted: Extracted, folder: Path, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the package onnxruntime")
    store, layer = extracted.store, next(iter(extracted.expected))
    train(f"--features={store.uri}", f"--output={tmp_path}/model", f"--layer={layer}")
    model = f"--model={tmp_path}/model"
    assert predict_command.main([model, f"--input={folder}/photos", f"--output={tmp_path}/a"]) == 0
    assert predict_command.main([model, f"--features={store.uri}", f"--output={tmp_path}/b"]) == 0
    by_pictures, by_features = (scores(tmp_path / name) for name in "ab")
    assert by_pictures.std(axis=0).max() > 0.01
    np.testing.assert_allclose(by_pictures, by_features, atol=1e-5)
    session = onnxruntime.InferenceSession(tmp_path / "model" / "end_to_end.onnx")
    (given,) = session.get_inputs()
    (found,) = session.run(None, {given.name: np.load(folder / "pixels.npy")})
    np.testing.assert_allclose(found[:, 0], by_pictures[:, 1], atol=1e-5)


def scores(folder: Path) -> np.ndarray:
    """float32 [n, classes], in the order of the URIs."""
    rows = Scan(PredictionTables(str(folder)).table(TableName.PREDICTIONS), ["uri", "scores"]).to_arrow()
    return np.array(rows.sort_by("uri")["scores"].to_pylist())
