"""4000 photographs, the hostile corpus, and an object store, each in one run of the command."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest
from sklearn.linear_model import RidgeClassifierCV

from schemas.delta import Scan
from schemas.store import FeatureStore
from tests.conftest import REPOSITORY, SMALL_BASE, extract, write_pictures
from tests.support.servers import s3_environment
from transforms.decoding import FORMATS

LAYER = "conv_pw_13_relu"


def test_all_pictures_are_there_with_label_and_split(dogs_vs_cats: FeatureStore) -> None:
    rows = dogs_vs_cats.scan(["uri", "label", "split"]).to_pandas()
    assert rows.groupby(["split", "label"]).size().to_dict() == {
        ("train", "cats"): 1000, ("train", "dogs"): 1000, ("validation", "cats"): 500, ("validation", "dogs"): 500,
        ("test", "cats"): 500, ("test", "dogs"): 500,
    }  # fmt: skip
    assert rows["uri"].nunique() == 4000


def test_features_equal_keras(dogs_vs_cats: FeatureStore, mobilenet_weights: Path) -> None:
    """64 pictures through Keras's own load_img, preprocess_input and MobileNet.

    float32 has rounding on both sides, so the reference is Keras's model in float64 where the bound is tight: there
    Keras's own float32 features are off by 1.3e-5 of the largest value, ours by 3e-6.
    """
    uris = dogs_vs_cats.scan().to_numpy("uri")
    chosen = np.random.default_rng(0).choice(len(uris), 64, replace=False)
    computed = dogs_vs_cats.scan().to_numpy(LAYER)[chosen]
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
    features = {}
    for precision in ("float32", "float64"):
        keras.config.set_floatx(precision)
        keras.config.set_dtype_policy(precision)
        base = keras.applications.MobileNet(
            alpha=0.25, weights=str(mobilenet_weights), include_top=False, pooling="avg", input_shape=(224, 224, 3)
        )
        preprocessed = keras.applications.mobilenet.preprocess_input(pixels.astype(precision))
        features[precision] = np.asarray(base(preprocessed))
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")
    largest = np.abs(features["float64"]).max()
    assert np.abs(computed - features["float64"]).max() <= 1e-5 * largest
    np.testing.assert_allclose(computed, features["float32"], rtol=1e-5, atol=1e-5 * largest)
    by_picture = np.linalg.norm(computed - features["float32"], axis=1) / np.linalg.norm(features["float32"], axis=1)
    assert by_picture.max() <= 1e-5


def test_a_ridge_probe_tells_cats_from_dogs(dogs_vs_cats: FeatureStore) -> None:
    parts = {}
    for split in ("train", "validation", "test"):
        scan = dogs_vs_cats.scan([LAYER, "label"], [("split", "=", split)])
        parts[split] = scan.to_numpy(), scan.to_numpy("label")
    probe = RidgeClassifierCV(alphas=np.logspace(0, 4, 9)).fit(*parts["train"])
    assert probe.score(*parts["validation"]) >= 0.95
    assert probe.score(*parts["test"]) >= 0.93


def test_a_second_run_over_known_pictures_extracts_nothing(dogs_vs_cats: FeatureStore, shared: Path) -> None:
    summary = extract(f"--input={shared}/images/dogs_vs_cats", f"--output={dogs_vs_cats.uri.removeprefix('file://')}")
    assert (summary["listed"], summary["skipped"], summary["extracted"]) == (4000, 4000, 0)


def test_every_hostile_file_is_a_row_and_the_process_lives(shared: Path, tmp_path: Path) -> None:
    corpus = shared / "images" / "hostile"
    # Not `ru_maxrss`: a child inherits its parent's, and this one's parent has TensorFlow in it.
    code = (
        "import sys\nfrom pathlib import Path\nfrom pipelines.extract import main\n"
        "code = main(sys.argv[1:])\n"
        "peak = next(line for line in Path('/proc/self/status').read_text().splitlines() if line.startswith('VmHWM'))\n"
        "print(code, int(peak.split()[1]) // 1024)\n"
    )
    done = subprocess.run(
        [
            sys.executable, "-c", code, f"--input={corpus}/**", f"--output={tmp_path}/store",
            "--max_failure_ratio=1", f"--summary={tmp_path}/summary.json", *SMALL_BASE,
        ],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    exit_code, megabytes = map(int, done.stdout.splitlines()[-1].split())
    assert exit_code == 0
    assert megabytes < 2000
    store = FeatureStore.open(f"{tmp_path}/store")
    files = {f"file://{path}" for path in corpus.rglob("*") if path.is_file()}
    extracted = set(store.scan(["uri"]).to_numpy("uri"))
    failed = Scan(store.failures(), ["uri", "code", "message"]).to_arrow().to_pylist()
    assert len(extracted) + len(failed) == len(files)
    assert extracted | {row["uri"] for row in failed} == files
    assert all(row["message"] for row in failed)
    codes = {row["code"] for row in failed}
    assert {"not_an_image", "unsupported_format", "truncated", "decoder_error", "too_many_pixels"} <= codes
    # What Pillow could read when the corpus was put together, in the formats that we take, has features.
    index = json.loads((corpus / "index.json").read_text())
    readable = {
        f"file://{corpus}/{entry['path']}" for entry in index if entry["status"] == "ok" and entry["fmt"] in FORMATS
    }
    assert len(readable & extracted) / len(readable) > 0.98


@pytest.fixture
def bucket() -> Iterator[str]:
    """An S3 bucket on a moto server on loopback."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    with s3_environment(f"http://{host}:{port}"):
        import boto3

        boto3.client("s3").create_bucket(Bucket="pictures")
        yield "s3://pictures"
    server.stop()


def test_pictures_and_store_on_s3(bucket: str, tmp_path: Path) -> None:
    import boto3
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    client = boto3.client("s3")
    for path in write_pictures(tmp_path / "local" / "cats", 9):
        client.upload_file(str(path), "pictures", f"in/train/cats/{path.name}")
    client.put_object(Bucket="pictures", Key="in/train/cats/empty file #1.jpg", Body=b"")
    options = [f"--input={bucket}/in", f"--output={bucket}/store", "--labels_from=parent", "--max_failure_ratio=0.5"]
    command = [sys.executable, "-m", "pipelines.extract", *options, "--shard_size=4", "--summary=summary.json"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    for extracted, skipped in ((9, 0), (0, 10)):
        done = subprocess.run(
            [*command, *SMALL_BASE], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        summary = json.loads((tmp_path / "summary.json").read_text())
        assert (summary["listed"], summary["extracted"], summary["skipped"]) == (10, extracted, skipped)
    store = FeatureStore.open(f"{bucket}/store")
    rows = store.scan(["uri", "version", "label", "split"]).to_arrow().to_pylist()
    etag = client.head_object(Bucket="pictures", Key="in/train/cats/000.jpg")["ETag"].strip('"')
    assert {"uri": f"{bucket}/in/train/cats/000.jpg", "version": etag, "label": "cats", "split": "train"} in rows
    (failure,) = Scan(store.failures()).to_arrow().to_pylist()
    assert (failure["uri"], failure["code"]) == (f"{bucket}/in/train/cats/empty file #1.jpg", "empty_file")
    # The same pictures from the local disk have the same features.
    extract(f"--input={tmp_path}/local", f"--output={tmp_path}/store", *SMALL_BASE)
    local = FeatureStore.open(f"{tmp_path}/store")
    here, there = (
        dict(zip((uri[-7:] for uri in each.scan().to_numpy("uri")), each.scan().to_numpy(LAYER).tolist(), strict=True))
        for each in (local, store)
    )
    assert here == there
