"""A store made by an older version gets today's network for the base that it has, or keeps what it has."""

import shutil
from pathlib import Path

import numpy as np
import openvino
import pytest

from pipelines import maintain
from schemas.errors import FailureCode, ImageError, RunFailed
from schemas.store import FeatureStore
from tests.conftest import extract, write_pictures
from transforms.conv_bases import OpenVINOEngine, fetch_published, republishing
from transforms.conv_bases.publishing import replace_files
from transforms.networks import in_keras_process, keras_export
from transforms.origins import KERAS_FILE, OPENVINO_FILES


def export_as_keras_does(folder: Path) -> None:
    """Writes the network as stores of older versions have it; runs in a Keras process."""
    import keras

    network = keras_export(keras.saving.load_model(folder / KERAS_FILE, compile=False), folder)
    openvino.save_model(network, str(folder / OPENVINO_FILES[0]), compress_to_fp16=False)


def transposes(store: FeatureStore, folder: Path) -> int:
    folder.mkdir()
    fetch_published(store.conv_base(), OPENVINO_FILES, folder)
    network = openvino.Core().read_model(folder / OPENVINO_FILES[0])
    return sum(node.get_type_name() == "Transpose" for node in network.get_ops())


@pytest.fixture
def old_store(small_store: FeatureStore, tmp_path: Path) -> FeatureStore:
    """A store with the network that an older version exported, and features made with it."""
    folder = tmp_path / "store"
    shutil.copytree(small_store.uri.removeprefix("file://"), folder)
    store = FeatureStore.open(str(folder))
    exported = tmp_path / "exported"
    exported.mkdir()
    fetch_published(store.conv_base(), (KERAS_FILE,), exported)
    in_keras_process(export_as_keras_does, exported)
    replace_files(exported, OPENVINO_FILES, store)
    write_pictures(tmp_path / "pictures", 12, seed=100)
    assert extract(f"--input={tmp_path}/pictures", f"--output={folder}")["extracted"] == 12
    return store


def test_a_base_is_published_again_under_the_same_fingerprint(
    old_store: FeatureStore, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert transposes(old_store, tmp_path / "before") > 10
    pixels = np.random.default_rng(0).integers(0, 256, (4, *old_store.spec.resolved_input_shape), np.uint8)
    before = OpenVINOEngine(old_store.conv_base(), 4).submit(pixels).result()[0]

    assert maintain.main([old_store.uri, "republish", "--dry_run"]) == 0
    assert "Would publish" in capsys.readouterr().out
    assert transposes(old_store, tmp_path / "still") > 10
    assert maintain.main([old_store.uri, "republish"]) == 0
    assert "compared on 16 pictures of the store" in capsys.readouterr().out

    assert transposes(old_store, tmp_path / "after") == 1
    after = OpenVINOEngine(old_store.conv_base(), 4).submit(pixels).result()[0]
    assert np.abs(after - before).max() <= 1e-5 * np.abs(before).max()
    published = Path(old_store.conv_base_uri.removeprefix("file://"))
    assert len(list(published.glob("base*.xml"))) == len(list(published.glob("base*.bin"))) == 1

    write_pictures(tmp_path / "more", 3, seed=200)
    assert extract(f"--input={tmp_path}/more", f"--output={tmp_path}/store")["extracted"] == 3
    assert FeatureStore.open(old_store.uri).spec == old_store.spec


def test_a_store_whose_pictures_are_gone_is_compared_on_noise(
    old_store: FeatureStore, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> bytes:
        raise ImageError(FailureCode.NOT_FOUND, "There is no such file.")

    monkeypatch.setattr(republishing, "fetch_image", gone)
    assert maintain.main([old_store.uri, "republish"]) == 0
    assert "compared on noise, for no picture can be read" in capsys.readouterr().out


def test_a_network_with_other_features_is_not_published(old_store: FeatureStore, tmp_path: Path) -> None:
    """The `.keras` file of another base, its checksum put right: the old network stays."""
    disturbed = tmp_path / "disturbed"
    disturbed.mkdir()
    fetch_published(old_store.conv_base(), (KERAS_FILE,), disturbed)
    in_keras_process(disturb, disturbed / KERAS_FILE)
    replace_files(disturbed, (KERAS_FILE,), old_store)
    with pytest.raises(RunFailed, match=r"differ by .* of the largest from the published one's, on 16 pictures"):
        maintain.main([old_store.uri, "republish"])
    assert transposes(old_store, tmp_path / "after") > 10


def disturb(path: Path) -> None:
    """Changes a weight of a saved model; runs in a Keras process."""
    import keras

    model = keras.saving.load_model(path, compile=False)
    variable = model.trainable_variables[0]
    variable.assign(1.01 * keras.ops.convert_to_numpy(variable))
    model.save(path)
