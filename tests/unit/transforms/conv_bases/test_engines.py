"""Every engine computes what Keras computes, whatever the batch size and the number of threads."""

import concurrent.futures
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import openvino
import pytest
from PIL import Image

from schemas.errors import RunFailed, UsageError
from schemas.spec import FeatureSpec
from schemas.store import FeatureStore
from tests.conftest import REPOSITORY
from transforms.conv_bases import (
    EngineName,
    OpenVINOEngine,
    choose_engine,
    engine_selection,
    keras_engine,
    load_engine,
)
from transforms.conv_bases.publishing import prepare_conv_base

PICTURES = 8


@pytest.fixture(scope="module")
def published(mobilenet_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The real MobileNet 0.25, published."""
    folder = tmp_path_factory.mktemp("base")
    spec = FeatureSpec(
        "MobileNet", {"alpha": 0.25}, weights=str(mobilenet_weights), layers=("conv_pw_3_relu", "conv_pw_13_relu")
    )
    return prepare_conv_base(spec, folder).publish(str(folder / "store"))


@pytest.fixture(scope="module")
def pixels(shared: Path) -> np.ndarray:
    """Real pictures, uint8 [8, 224, 224, 3]."""
    paths = sorted((shared / "images/dogs_vs_cats/test/cats").glob("*.jpg"))[:PICTURES]
    return np.stack([np.asarray(Image.open(path).resize((224, 224))) for path in paths])


def features(engine: engine_selection.Engine, pixels: np.ndarray, batch_size: int) -> np.ndarray:
    """All features side by side, float32 [n, D]; the last batch is padded."""
    padded = np.concatenate([pixels, np.zeros((-len(pixels) % batch_size, *pixels.shape[1:]), np.uint8)])
    futures = [engine.submit(padded[start : start + batch_size]) for start in range(0, len(padded), batch_size)]
    return np.concatenate([np.concatenate(future.result(), axis=1) for future in futures])[: len(pixels)]


@pytest.fixture(scope="module")
def expected(published: str, pixels: np.ndarray) -> np.ndarray:
    return features(OpenVINOEngine(published, PICTURES, threads=1), pixels, PICTURES)


def cosines(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    return (ours * theirs).sum(axis=1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1)


@pytest.mark.parametrize(("batch_size", "threads"), [(1, 1), (1, 2), (3, 2), (5, 4), (8, 2)])
def test_openvino_gives_the_same_bytes_whatever_the_batch_size_and_the_threads(
    batch_size: int, threads: int, published: str, pixels: np.ndarray, expected: np.ndarray
) -> None:
    engine = OpenVINOEngine(published, batch_size, threads=threads)
    assert engine.batches_in_flight == 2 * threads
    np.testing.assert_array_equal(features(engine, pixels, batch_size), expected)


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_the_keras_engine_gives_the_same_features(
    batch_size: int, published: str, pixels: np.ndarray, expected: np.ndarray
) -> None:
    found = features(load_engine(EngineName.KERAS, published, batch_size), pixels, batch_size)
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() <= 2e-5 * np.abs(expected).max()
    # What a picture gets does not depend on its neighbours.
    again = features(load_engine(EngineName.KERAS, published, batch_size), pixels[::-1], batch_size)[::-1]
    np.testing.assert_array_equal(again, found)


@pytest.mark.parametrize("name", EngineName)
def test_bfloat16_is_near_float32_on_every_engine(
    name: EngineName, published: str, pixels: np.ndarray, expected: np.ndarray
) -> None:
    found = features(load_engine(name, published, 4, "bfloat16"), pixels, 4)
    assert found.dtype == np.float32
    assert cosines(found, expected).min() > 0.98
    assert np.abs(found - expected).max() > 1e-4 * np.abs(expected).max()


def test_streams_are_free_to_run_on_any_core(published: str) -> None:
    """Pinned streams are counted from the first core in each process, so that several processes would share it."""
    engine = OpenVINOEngine(published, 1, threads=2)
    assert engine._compiled.get_property("ENABLE_CPU_PINNING") is False


@pytest.mark.parametrize("allowed", [False, True])
def test_a_gpu_uses_tf32_only_where_the_spec_says_so(allowed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings; what they are worth only a graphics card shows."""
    chosen: dict[str, str] = {}
    monkeypatch.setitem(sys.modules, "jax", SimpleNamespace(config=SimpleNamespace(update=chosen.__setitem__)))
    keras_engine.allow_tf32("jax", allowed)
    assert chosen == {"jax_default_matmul_precision": "default" if allowed else "highest"}

    backends = SimpleNamespace(
        cudnn=SimpleNamespace(allow_tf32=not allowed),
        cuda=SimpleNamespace(matmul=SimpleNamespace(allow_tf32=not allowed)),
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(backends=backends))
    keras_engine.allow_tf32("torch", allowed)
    assert backends.cudnn.allow_tf32 == allowed
    assert backends.cuda.matmul.allow_tf32 == allowed

    keras_engine.allow_tf32("tensorflow", allowed)
    import tensorflow as tf

    assert tf.config.experimental.tensor_float_32_execution_enabled() == allowed


def test_tf32_is_refused_where_there_is_no_gpu(
    published: str, pixels: np.ndarray, expected: np.ndarray, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in EngineName:
        with pytest.raises(RunFailed, match="tf32 is an arithmetic of NVIDIA's GPUs"):
            load_engine(name, published, 4, "tf32")

    (tmp_path / "0000:00:00.0").mkdir()
    monkeypatch.setattr(engine_selection, "_GPUS", tmp_path)
    found = features(load_engine(EngineName.KERAS, published, 4, "tf32"), pixels, 4)
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max(), "On a CPU TensorFlow has no TF32."


def test_many_threads_share_an_engine(published: str, pixels: np.ndarray, expected: np.ndarray) -> None:
    engine = OpenVINOEngine(published, 2)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: features(engine, pixels, 2), range(16)))
    for each in found:
        np.testing.assert_array_equal(each, expected)


def test_a_cpu_without_bfloat16_is_refused(published: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class OldCore:
        def get_property(self, *_: str) -> list[str]:
            return ["FP32", "INT8"]

    monkeypatch.setattr(openvino, "Core", OldCore)
    with pytest.raises(RunFailed, match="does not compute in bfloat16"):
        OpenVINOEngine(published, 1, "bfloat16")


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 3355443200 bytes."),
        RuntimeError("CUDA out of memory. Tried to allocate 3.12 GiB."),
    ],
)
def test_too_large_a_batch_is_one_sentence(
    error: Exception, published: str, pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*_: object) -> None:
        raise error

    engine = load_engine(EngineName.KERAS, published, PICTURES)
    monkeypatch.setattr(engine, "_predict", exhausted)
    with pytest.raises(RunFailed, match="no memory for 8 pictures at once: try --batch_size=4"):
        engine.submit(pixels).result()


def test_a_backend_that_is_not_installed_is_named(published: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise ImportError("No module named 'tensorflow'")

    monkeypatch.setattr(keras_engine, "import_tensorflow", missing)
    with pytest.raises(UsageError, match=r"backend tensorflow \(KERAS_BACKEND\) is not installed"):
        load_engine(EngineName.KERAS, published, 1)


def test_auto_is_keras_only_beside_a_gpu_and_for_keras_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vgg16, other = FeatureSpec("VGG16"), FeatureSpec("mine.onnx", weights="file:///mine.onnx", preprocess="none")
    monkeypatch.setattr(engine_selection, "_GPUS", tmp_path / "gpus")
    assert choose_engine("auto", vgg16) == EngineName.OPENVINO
    (tmp_path / "gpus" / "0000:00:05.0").mkdir(parents=True)
    assert choose_engine("auto", vgg16) == EngineName.KERAS
    assert choose_engine("auto", FeatureSpec("mine.keras")) == EngineName.KERAS
    assert choose_engine("openvino", vgg16) == EngineName.OPENVINO
    assert choose_engine("auto", other) == EngineName.OPENVINO
    with pytest.raises(UsageError, match=r"mine\.onnx is no Keras model: --engine=openvino runs it\."):
        choose_engine("keras", other)


def test_the_first_batches_at_once_do_not_wait_for_each_other(small_store: FeatureStore) -> None:
    """In a process of its own, because only its very first batches can: without care, one try in three hangs."""
    code = (
        "import faulthandler, sys\n"
        "import numpy as np\n"
        "from schemas.storage import PublishedBase\n"
        "from transforms.conv_bases.engine_selection import OpenVINOEngine\n"
        "faulthandler.dump_traceback_later(60, exit=True)\n"
        "engine = OpenVINOEngine(PublishedBase(sys.argv[1]), 4, threads=2)\n"
        "sys.setswitchinterval(1e-6)\n"
        "futures = [engine.submit(np.zeros((4, 32, 32, 3), np.uint8)) for _ in range(8)]\n"
        "print(len([future.result() for future in futures]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, small_store.conv_base_uri],
        cwd=REPOSITORY, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.strip() == "8", done.stderr
