"""A network of one's own as the conv base: from pictures to a classifier to predictions, as with Keras's own."""

import json
import shlex
import shutil
from pathlib import Path

import boto3
import keras
import numpy as np
import pytest

from pipelines import extract as extract_command
from pipelines import finetune as finetune_command
from pipelines import inspect as inspect_command
from pipelines import maintain as maintain_command
from pipelines import predict as predict_command
from pipelines import search as search_command
from pipelines import train as train_command
from schemas.classifiers import Classifier
from schemas.delta import Scan
from schemas.errors import InvalidSpec, SpecMismatch, UsageError, WeightsUnavailable
from schemas.fragments import TableName
from schemas.store import FeatureStore, PredictionTables
from tests.conftest import Run, extract, train, write_pictures, write_tinted_pictures
from tests.support.onnx_files import SmallResNet
from tests.support.servers import s3_server

SIDE = 32
MAP = "/layer1/relu_1/Relu_output_0"
ONNX = ("--preprocess=torch", f"--layers={MAP}", f"--input_shape={SIDE},{SIDE},3")
MINE = ("--preprocess=scale_-1_1", "--layers=first,last")


def mine(path: Path) -> keras.Model:
    """A small network of somebody, saved."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(3)
    inputs = keras.Input((SIDE, SIDE, 3))
    x = keras.layers.Conv2D(6, 3, strides=2, activation="relu", name="first")(inputs)
    x = keras.layers.Conv2D(8, 3, activation="relu", name="last")(x)
    x = keras.layers.GlobalMaxPooling2D()(x)
    model = keras.Model(inputs, keras.layers.Dense(3, name="classes")(x), name="mine")
    model.save(path)
    return model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 pictures in two tints and stores of them by two networks; do not change it."""
    folder = tmp_path_factory.mktemp("saved")
    write_tinted_pictures(folder / "photos", {"train": 8, "validation": 4, "test": 3})
    mine(folder / "mine.keras")
    (folder / "resnet.onnx").write_bytes(SmallResNet.random().onnx(("batch", 3, "height", "width")))
    photos = (f"--input={folder}/photos", "--labels_from=parent")
    extract(*photos, f"--output={folder}/mine", f"--conv_base={folder}/mine.keras", *MINE)
    extract(*photos, f"--output={folder}/onnx", f"--conv_base={folder}/resnet.onnx", *ONNX)
    for name, layer in {"mine": "last", "onnx": MAP}.items():
        train(f"--features={folder}/{name}", f"--output={folder}/{name}-model", f"--layer={layer}")
    return folder


@pytest.fixture(scope="module")
def of_the_hub(folder: Path) -> Path:
    """The same pictures through a vision transformer of Keras Hub, and a classifier on it; do not change it."""
    hub = pytest.importorskip("keras_hub", reason="needs the extra keras-hub")
    keras.utils.clear_session()
    keras.utils.set_random_seed(4)
    vit = hub.models.ViTBackbone((SIDE, SIDE, 3), 8, num_layers=1, num_heads=2, hidden_dim=16, mlp_dim=32)
    vit.save_to_preset(f"{folder}/vit")
    converter = hub.layers.ViTImageConverter((SIDE, SIDE), 1 / 127.5, -1.0, crop_to_aspect_ratio=False)
    converter.save_to_preset(f"{folder}/vit")
    photos = (f"--input={folder}/photos", "--labels_from=parent")
    extract(*photos, f"--output={folder}/hub", f"--conv_base=keras_hub:{folder}/vit")
    train(f"--features={folder}/hub", f"--output={folder}/hub-model")
    return folder


def test_a_preset_of_keras_hub_feeds_a_classifier(of_the_hub: Path, tmp_path: Path) -> None:
    hub = pytest.importorskip("keras_hub", reason="needs the extra keras-hub")
    store = FeatureStore.open(f"{of_the_hub}/hub")
    assert (store.spec.conv_base, store.spec.resize, store.spec.input_shape) == (
        "keras_hub:vit", "stretch", (SIDE, SIDE, 3)
    )  # fmt: skip
    pixels = pixels_of(store)
    backbone = hub.models.Backbone.from_preset(f"{of_the_hub}/vit")
    expected = backbone(pixels.astype(np.float32) / np.float32(127.5) - 1)
    assert_near(store.scan().to_numpy(store.spec.layers[0]), np.asarray(expected))
    model = f"--model={of_the_hub}/hub-model"
    assert predict_command.main([model, f"--input={of_the_hub}/photos", f"--output={tmp_path}/a"]) == 0
    assert predict_command.main([model, f"--features={store.uri}", f"--output={tmp_path}/b"]) == 0
    uris = store.scan().to_numpy("uri")
    by_pictures, by_features = (scores(tmp_path / name, uris) for name in "ab")
    assert by_pictures.std(axis=0).max() > 0.01
    np.testing.assert_allclose(by_pictures, by_features, atol=1e-5)
    assert {*Path(of_the_hub, "hub-model").glob("end_to_end.*")} == {of_the_hub / "hub-model" / "end_to_end.onnx"}


def pixels_of(store: FeatureStore) -> np.ndarray:
    paths = [uri.removeprefix("file://") for uri in store.scan().to_numpy("uri")]
    loaded = [keras.utils.load_img(path, target_size=(SIDE, SIDE), interpolation="bilinear") for path in paths]
    return np.stack([np.asarray(image) for image in loaded])


def scores(folder: Path, uris: np.ndarray) -> np.ndarray:
    rows = Scan(PredictionTables(str(folder)).table(TableName.PREDICTIONS), ["uri", "scores"]).to_arrow()
    by_uri = dict(zip(rows["uri"].to_pylist(), rows["scores"].to_pylist(), strict=True))
    return np.array([by_uri[uri] for uri in uris])


def assert_near(ours: np.ndarray, theirs: np.ndarray) -> None:
    assert np.abs(ours - theirs).max() <= 1e-5 * np.abs(theirs).max()


def test_the_features_of_a_keras_file_are_those_of_keras(folder: Path) -> None:
    store = FeatureStore.open(f"{folder}/mine")
    assert (store.spec.conv_base, store.spec.preprocess) == ("mine.keras", "scale_-1_1")
    assert store.spec.weights == f"file://{folder}/mine.keras"
    model = keras.saving.load_model(folder / "mine.keras")
    maps = keras.Model(model.inputs, [model.get_layer(name).output for name in store.spec.layers])
    expected = maps(pixels_of(store).astype(np.float32) / np.float32(127.5) - 1)
    for name, values in zip(store.spec.layers, expected, strict=True):
        assert_near(store.scan().to_numpy(name), np.asarray(values).mean((1, 2)))


def test_the_features_of_an_onnx_file_are_those_of_the_same_network_in_keras(folder: Path) -> None:
    store = FeatureStore.open(f"{folder}/onnx")
    values = keras.applications.imagenet_utils.preprocess_input(pixels_of(store).astype(np.float32), mode="torch")
    assert_near(store.scan().to_numpy(MAP), SmallResNet.random().keras(values)[MAP].mean((1, 2)))


@pytest.mark.parametrize("name", ["mine", "onnx"])
def test_predictions_from_pictures_are_those_from_features(name: str, folder: Path, tmp_path: Path) -> None:
    store = FeatureStore.open(f"{folder}/{name}")
    uris, model = store.scan().to_numpy("uri"), f"--model={folder}/{name}-model"
    assert predict_command.main([model, f"--input={folder}/photos", f"--output={tmp_path}/a"]) == 0
    assert predict_command.main([model, f"--features={store.uri}", f"--output={tmp_path}/b"]) == 0
    by_pictures, by_features = scores(tmp_path / "a", uris), scores(tmp_path / "b", uris)
    assert by_pictures.std(axis=0).max() > 0.01
    np.testing.assert_allclose(by_pictures, by_features, atol=1e-5)
    if name == "mine":
        end_to_end = keras.saving.load_model(folder / "mine-model" / "end_to_end.keras")
        expected = end_to_end.predict(pixels_of(store), verbose=0)[:, 0]
        np.testing.assert_allclose(by_pictures[:, 1], expected, atol=1e-5)


@pytest.mark.parametrize("name", ["mine", "onnx"])
def test_a_classifier_as_onnx_says_what_it_says_elsewhere(name: str, folder: Path, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the package onnxruntime")
    store = FeatureStore.open(f"{folder}/{name}")
    session = onnxruntime.InferenceSession(folder / f"{name}-model" / "end_to_end.onnx")
    (given,) = session.get_inputs()
    (found,) = session.run(None, {given.name: pixels_of(store)})
    options = [f"--model={folder}/{name}-model", f"--input={folder}/photos", f"--output={tmp_path}/a"]
    assert predict_command.main(options) == 0
    np.testing.assert_allclose(found[:, 0], scores(tmp_path / "a", store.scan().to_numpy("uri"))[:, 1], atol=1e-5)


def test_what_is_no_keras_model_is_not_written_as_one(folder: Path) -> None:
    files = {path.name for path in (folder / "mine-model").iterdir()}
    assert {path.name for path in (folder / "onnx-model").iterdir()} == files - {"end_to_end.keras"}
    published = {path.suffix for path in (folder / "onnx" / "conv_bases").rglob("base*")}
    assert published == {".xml", ".bin"}


def test_a_search_by_a_picture(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, layer in {"mine": "first", "onnx": MAP}.items():
        picture = FeatureStore.open(f"{folder}/{name}").scan().to_numpy("uri")[3]
        image = f"--image={picture.removeprefix('file://')}"
        assert search_command.main([f"{folder}/{name}", image, f"--layer={layer}", "--k=1"]) == 0
        assert capsys.readouterr().out.splitlines()[1].endswith(picture)


def test_later_runs_need_no_file(folder: Path, tmp_path: Path) -> None:
    for name in ("mine", "onnx"):
        shutil.copytree(folder / name, tmp_path / name)
        write_pictures(tmp_path / "more", 2)
        summary = extract(f"--input={tmp_path}/more", f"--output={tmp_path}/{name}")
        assert (summary["extracted"], summary["failed"]) == (2, 0)
        assert maintain_command.main([f"{tmp_path}/{name}", "check"]) == 0


def test_a_network_is_known_by_its_bytes_wherever_it_lies(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "mine", tmp_path / "mine")
    shutil.copy(folder / "mine.keras", tmp_path / "renamed.keras")
    photos = (f"--input={folder}/photos", f"--output={tmp_path}/mine")
    assert extract(*photos, f"--conv_base={tmp_path}/renamed.keras")["extracted"] == 0
    keras.utils.set_random_seed(4)
    other = keras.saving.load_model(tmp_path / "renamed.keras")
    other.set_weights([value + 1 for value in other.get_weights()])
    other.save(tmp_path / "renamed.keras")
    with pytest.raises(SpecMismatch, match="weights_sha256 is"):
        extract(*photos, f"--conv_base={tmp_path}/renamed.keras")
    with pytest.raises(SpecMismatch, match="preprocess is scale_-1_1 in the store, none was asked"):
        extract(*photos, "--preprocess=none")


def test_networks_in_a_bucket(folder: Path, tmp_path: Path) -> None:
    resnet = SmallResNet.random()
    files = {
        "mine.keras": (folder / "mine.keras").read_bytes(),
        "resnet.onnx": resnet.onnx(("batch", 3, SIDE, SIDE), location="resnet.data"),
        "resnet.data": b"".join(value.tobytes() for value in resnet.weights.values()),
    }
    with s3_server() as server:
        for name, content in files.items():
            boto3.client("s3").put_object(Bucket=server.bucket, Key=f"nets/{name}", Body=content)
        for name, options in {"mine.keras": MINE, "resnet.onnx": ONNX}.items():
            store = f"{tmp_path}/{name}"
            base = f"--conv_base=s3://{server.bucket}/nets/{name}"
            assert extract(f"--input={folder}/photos/test", f"--output={store}", base, *options)["extracted"] == 6
            assert FeatureStore.open(store).spec.weights == f"s3://{server.bucket}/nets/{name}"
    layer = FeatureStore.open(f"{folder}/onnx").scan(["uri", MAP]).to_arrow()
    local = dict(zip(layer["uri"].to_pylist(), layer[MAP].to_pylist(), strict=True))
    found = FeatureStore.open(f"{tmp_path}/resnet.onnx").scan(["uri", MAP]).to_arrow()
    for uri, values in zip(found["uri"].to_pylist(), found[MAP].to_pylist(), strict=True):
        np.testing.assert_allclose(values, local[uri], rtol=1e-5)


@pytest.mark.parametrize("name", ["mine", "onnx"])
def test_features_are_the_same_bytes_whatever_the_batches_shards_and_threads(
    name: str, folder: Path, tmp_path: Path
) -> None:
    first = FeatureStore.open(f"{folder}/{name}")
    shutil.copytree(folder / name / "conv_bases", tmp_path / "conv_bases")
    store = FeatureStore.create(str(tmp_path), first.spec, first.conv_base().files)
    options = ("--shard_size=7", "--batch_size=5", "--threads=1", "--decode_processes=0")
    extract(f"--input={folder}/photos", f"--output={tmp_path}", *options)
    for layer in first.spec.layers:
        ours, theirs = (
            dict(zip(found.scan().to_numpy("uri"), found.scan().to_numpy(layer), strict=True))
            for found in (store, first)
        )
        assert all(ours[uri].tobytes() == theirs[uri].tobytes() for uri in theirs)


def test_fine_tuning_trains_a_network_of_ones_own_and_hands_it_back(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--unfreeze_from=last", "--labels_from=parent", "--epochs=1", "--batch_size=8", "--untrained_head"]
    photos = f"--input={folder}/photos"
    assert finetune_command.main([f"--model={folder}/mine-model", photos, f"--output={tmp_path}/tuned", *options]) == 0
    printed = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("Features of its base: "))
    command = printed.replace("IMAGES", str(folder / "photos")).replace("NEW_STORE", f"{tmp_path}/store")
    extract(*shlex.split(command)[7:])
    store, card = FeatureStore.open(f"{tmp_path}/store"), Classifier.open(f"{tmp_path}/tuned").card
    assert store.fingerprint == card.fingerprint != FeatureStore.open(f"{folder}/mine").fingerprint
    end_to_end = keras.saving.load_model(tmp_path / "tuned" / "end_to_end.keras", compile=False)
    inner = keras.Model(end_to_end.input, end_to_end.layers[-2].output)
    assert_near(store.scan().to_numpy("last"), inner.predict(pixels_of(store), verbose=0))


def test_what_needs_keras_says_so(folder: Path, tmp_path: Path) -> None:
    photos = [f"--input={folder}/photos", "--labels_from=parent"]
    model = [f"--model={folder}/onnx-model", f"--output={tmp_path}/tuned", "--unfreeze_from=x"]
    with pytest.raises(UsageError, match=r"Fine-tuning needs a base that is a Keras model, and resnet\.onnx is none"):
        finetune_command.main([*model, *photos])
    with pytest.raises(UsageError, match=r"resnet\.onnx is no Keras model: --engine=openvino runs it"):
        extract_command.main([*photos, f"--output={folder}/onnx", "--engine=keras"])
    with pytest.raises(UsageError, match=r"resnet\.onnx is no Keras model, of which networks could be made again"):
        maintain_command.main([f"{folder}/onnx", "republish"])


def test_training_may_name_the_base_that_it_expects(folder: Path, tmp_path: Path) -> None:
    features = [f"--features={folder}/onnx", f"--output={tmp_path}/model"]
    with pytest.raises(SpecMismatch, match=r"conv_base is resnet\.onnx in the store, other\.onnx was asked"):
        train_command.main([*features, "--conv_base=nets/other.onnx"])
    assert train_command.main([*features, "--conv_base=nets/resnet.onnx"]) == 0


def test_what_is_in_a_file_is_listed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert inspect_command.main([f"--conv_base={folder}/resnet.onnx", *ONNX]) == 0
    shown = capsys.readouterr().out
    assert "Pictures: any × any pixels" in shown
    assert f"  {MAP} " in shown
    assert inspect_command.main([f"--conv_base={folder}/mine.keras", "--preprocess=none"]) == 0
    assert "Pictures: 32 × 32 pixels (height × width), in colour." in capsys.readouterr().out


def test_the_choices_are_named_before_any_work(folder: Path, run: Run, tmp_path: Path) -> None:
    base = (f"--input={folder}/photos", f"--output={tmp_path}/store")
    done = run("extract", *base, f"--conv_base={folder}/mine.keras")
    assert done.returncode == 2
    assert (
        "mine.keras does not say what it expects of pixels: give --preprocess: none, scale_1, scale_-1_1,"
        in done.stderr
    )
    assert not (tmp_path / "store").exists()
    done = run("extract", *base, f"--conv_base={folder}/mine.keras", "--preprocess=imagenet")
    assert done.returncode == 2
    assert "'imagenet' is not none, scale_1, scale_-1_1, caffe, torch, mean=…,std=…, or scale=…,offset=…" in done.stderr


@pytest.mark.parametrize(
    ("options", "kind", "sentence"),
    [
        (("--conv_base=nets/mine.h5",), InvalidSpec, "nets/mine.h5 is no file of a network that can be a conv base"),
        (("--conv_base=mine.keras", "--weights=none"), UsageError, "--weights is for conv bases of keras.applications"),
        (("--conv_base=gone.onnx",), WeightsUnavailable, "gone.onnx cannot be read"),
        (("--conv_base=MobileNet", "--weights=none", "--preprocess=none"), InvalidSpec, "preprocessing of its own"),
    ],
)  # fmt: skip
def test_what_cannot_be(
    options: tuple[str, ...], kind: type[Exception], sentence: str, folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(kind, match=sentence.replace(".", r"\.")):
        extract_command.main([f"--input={folder}/photos", f"--output={tmp_path}/store", *options])
    assert not (tmp_path / "store").exists()


def test_a_layer_may_not_have_the_name_of_another_column(folder: Path, tmp_path: Path) -> None:
    inputs = keras.Input((SIDE, SIDE, 3))
    keras.Model(inputs, keras.layers.Conv2D(2, 3, name="Label")(inputs)).save(tmp_path / "bad.keras")
    options = (f"--conv_base={tmp_path}/bad.keras", "--preprocess=none", f"--output={tmp_path}/store")
    with pytest.raises(InvalidSpec, match="The layer 'Label' has the name of another column of a store"):
        extract_command.main([f"--input={folder}/photos", *options])


def test_pictures_are_cropped_as_the_spec_says(folder: Path, tmp_path: Path) -> None:
    options = ("--resize=crop", "--crop_ratio=.875", f"--conv_base={folder}/mine.keras", *MINE)
    extract(f"--input={folder}/photos", f"--output={tmp_path}/store", *options)
    store, stretched = FeatureStore.open(f"{tmp_path}/store"), FeatureStore.open(f"{folder}/mine")
    assert (store.spec.resize, store.spec.crop_ratio) == ("crop", 0.875)
    assert store.fingerprint != stretched.fingerprint
    assert np.abs(store.scan().to_numpy("last") - stretched.scan().to_numpy("last")).max() > 1e-3
    assert json.loads(store.spec.to_json())["crop_ratio"] == 0.875
    assert extract(f"--input={folder}/photos", f"--output={tmp_path}/store")["extracted"] == 0
    with pytest.raises(SpecMismatch, match="resize is crop in the store, pad was asked"):
        extract(f"--input={folder}/photos", f"--output={tmp_path}/store", "--resize=pad")
