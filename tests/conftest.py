"""What the tests share: the folder of real pictures and weights, small pictures, and ways to run the commands."""

import datetime
import fcntl
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, settings
from PIL import Image

from pipelines import extract as extract_command
from pipelines import train as train_command
from schemas.caches import CACHE_VARIABLE
from schemas.fragments import FragmentWriter, TableName
from schemas.spec import FeatureSpec
from schemas.store import FeatureStore
from tests.support.children import start_program
from tests.support.keras_processes import warm_keras_processes
from transforms.conv_bases import Features, OpenVINOEngine
from transforms.extraction import as_lists

REPOSITORY = Path(__file__).parents[1]
SHARED = REPOSITORY.parent / "shared"
SMALL_BASE = ("--conv_base=MobileNet", "--conv_base_arg=alpha=0.25", "--weights=none", "--input_shape=32,32,3")

OF_EVERY_STORE = ("uri", "label", "split", "sha256")
ROWS_PER_WRITE = 1024

# The same examples each time, or with `--hypothesis-profile=explore` many others.
settings.register_profile(
    "repeatable", max_examples=40, stateful_step_count=20, deadline=None, derandomize=True, database=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
settings.register_profile("explore", settings.get_profile("repeatable"), max_examples=1000, derandomize=False)
settings.load_profile("repeatable")

Run = Callable[..., subprocess.CompletedProcess[str]]

# In the background a shell has SIGINT ignored, by all that is started from here too.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def session_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this session alone, which all its workers share."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


def made_once(folder: Path, make: Callable[[Path], None]) -> None:
    """Makes a folder of the session, unless another worker has; waits for one that is at it."""
    done = folder.with_suffix(".done")
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            make(folder)
            done.touch()


@pytest.fixture(scope="session", autouse=True)
def conv_base_cache(session_folder: Path) -> Iterator[Path]:
    """A cache of conv bases for this session alone."""
    with pytest.MonkeyPatch.context() as patch:
        folder = session_folder / "cache"
        folder.mkdir(mode=0o700, exist_ok=True)
        patch.setenv(CACHE_VARIABLE, str(folder))
        yield folder


@pytest.fixture(scope="session", autouse=True)
def unsynced() -> Iterator[None]:
    """Commands in this process sync nothing: a sync takes milliseconds, and no test cuts the machine's power.

    Commands in processes of their own sync as ever; the tests of power cuts watch the calls.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def keras_starts_warm() -> Iterator[None]:
    """Processes for Keras do not import it each: see `tests/support/keras_processes.py`."""
    with warm_keras_processes():
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real weights, real pictures and hostile pictures."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the pictures and weights in {SHARED}, which is absent")
    return SHARED


@pytest.fixture(scope="session")
def mobilenet_weights(shared: Path) -> Path:
    """ImageNet weights of MobileNet with alpha 0.25, without its classifier."""
    return shared / "weights" / "mobilenet_2_5_224_tf_no_top.h5"


@pytest.fixture
def run(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs a command as a user would, in an empty folder: `run("extract", "--input=...")`.

    Its process is forked from one that has imported the slow packages, unless variables change how Python starts.
    """

    def run_module(command: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        if any(name.startswith("PYTHON") for name in environment):
            return run_interpreter(command, *arguments, **environment)
        folder = tmp_path_factory.mktemp("program")
        variables = {"PYTHONPATH": str(REPOSITORY), **environment}  # For the processes that it starts.
        process = start_program(command, arguments, folder, cwd=tmp_path, environment=variables)
        process.join()
        assert process.exitcode is not None
        printed, said = ((folder / name).read_text() for name in ("stdout", "stderr"))
        return subprocess.CompletedProcess([command, *map(str, arguments)], process.exitcode, printed, said)

    def run_interpreter(command: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", f"pipelines.{command}", *map(str, arguments)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    return run_module


@pytest.fixture
def submitted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of pictures in each batch that the engine gets."""
    counts: list[int] = []
    submit = OpenVINOEngine.submit

    def counted(self: OpenVINOEngine, pixels: np.ndarray) -> "Future[Features]":
        counts.append(int(pixels.any(axis=(1, 2, 3)).sum()))
        return submit(self, pixels)

    monkeypatch.setattr(OpenVINOEngine, "submit", counted)
    return counts


def write_pictures(folder: Path, count: int, seed: int = 0) -> list[Path]:
    """Writes JPEGs of noise, 40 × 30 pixels."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    paths = [folder / f"{number:03}.jpg" for number in range(count)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (30, 40, 3), np.uint8)).save(path)
    return paths


def write_tinted_pictures(folder: Path, counts: Mapping[str, int], shape: tuple[int, int] = (36, 40)) -> None:
    """Writes PNGs of noise in two tints, which a classifier tells apart: so many a tint into `folder/split/tint`."""
    random = np.random.default_rng(0)
    for split, count in counts.items():
        for label, tint in {"blue": (90, 100, 150), "red": (150, 100, 90)}.items():
            (folder / split / label).mkdir(parents=True)
            for number in range(count):
                pixels = np.clip(random.normal(tint, 60, (*shape, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / split / label / f"{number}.png")


def extract(*arguments: object) -> dict[str, Any]:
    """Runs an extraction in this process and returns its summary; the store and the rest are given as options."""
    with tempfile.TemporaryDirectory() as folder:
        summary = Path(folder) / "summary.json"
        assert extract_command.main([*map(str, arguments), f"--summary={summary}", "--runner=DirectRunner"]) == 0
        figures: dict[str, Any] = json.loads(summary.read_text())
    return figures


@pytest.fixture(scope="session")
def small_store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    """A store of 12 pictures, 3 classes, with a small random conv base; do not change it."""
    folder = tmp_path_factory.mktemp("small")
    for number, name in enumerate(("discs", "squares", "stripes")):
        write_pictures(folder / "pictures" / "train" / name, 4, seed=number)
    extract(f"--input={folder}/pictures", "--labels_from=parent", f"--output={folder}/store", *SMALL_BASE)
    return FeatureStore.open(f"{folder}/store")


@pytest.fixture
def empty_store(small_store: FeatureStore, tmp_path: Path) -> Path:
    """A store without an image, with the small conv base."""
    shutil.copytree(f"{small_store.uri.removeprefix('file://')}/conv_bases", tmp_path / "store" / "conv_bases")
    FeatureStore.create(f"{tmp_path}/store", small_store.spec)
    return tmp_path / "store"


@pytest.fixture(scope="session")
def dogs_vs_cats(shared: Path, mobilenet_weights: Path, session_folder: Path) -> FeatureStore:
    """All of dogs_vs_cats through the real MobileNet 0.25."""

    def make(store: Path) -> None:
        summary = extract(
            f"--input={shared}/images/dogs_vs_cats", "--labels_from=parent", "--conv_base=MobileNet",
            "--conv_base_arg=alpha=0.25", f"--weights={mobilenet_weights}", f"--output={store}",
        )  # fmt: skip
        assert (summary["listed"], summary["extracted"], summary["failed"]) == (4000, 4000, 0)

    made_once(session_folder / "dogs", make)
    return FeatureStore.open(f"{session_folder}/dogs")


def store_of_features(
    folder: Path,
    features: np.ndarray,
    published: FeatureStore | None = None,
    ds: str = "2026-01-31",
    **columns: Sequence[object],
) -> FeatureStore:
    """Makes a store of features that no conv base has computed, of the images `file:///image-0` and so on.

    Args:
        folder: The store's folder.
        features: float32 [n, *shape], the only feature column.
        published: A store of one layer of this shape; the new one gets its spec and its conv base.
        ds: Their partition date; a store that is there gets further images, of another date and with URIs of their own.
        columns: Further columns; `label` and `split` are null unless they are given.
    """
    spec = FeatureSpec(
        conv_base="VGG16", weights="none", weights_sha256="ab" * 32, input_shape=(32, 32, 3), layers=("features",),
        pooling="none", feature_shapes=(features.shape[1:],),
    )  # fmt: skip
    if published is not None:
        spec = published.spec
        shutil.copytree(published.uri.removeprefix("file://") + "/conv_bases", folder / "conv_bases")
    store = FeatureStore.create(str(folder), spec)
    store.carry(
        [pa.field(name, pa.array(values).type) for name, values in columns.items() if name not in OF_EVERY_STORE]
    )
    schema = pa.schema(store.features().schema())
    schema = schema.remove(schema.get_field_index("ds"))
    count, now = len(features), datetime.datetime.now(datetime.UTC)
    values: dict[str, Sequence[object]] = {
        "uri": [f"file:///image-{number}" for number in range(count)],
        "version": ["1"] * count,
        "label": [None] * count,
        "split": [None] * count,
        "width": [1] * count,
        "height": [1] * count,
        "sha256": [hashlib.sha256(str(number).encode()).hexdigest() for number in range(count)],
        "run_id": ["r"] * count,
        "extracted_at": [now] * count,
        **columns,
    }
    rows = pa.RecordBatch.from_arrays(
        [
            as_lists(features.reshape(count, -1).astype(np.float32), field.type)
            if field.name == spec.layers[0]
            else pa.array(values[field.name], field.type)
            for field in schema
        ],
        schema=schema,
    )
    path = f"ds={ds}/features.parquet"
    with FragmentWriter(f"{store.uri}/features", TableName.FEATURES, path, schema) as writer:
        for start in range(0, count, ROWS_PER_WRITE):
            writer.write(rows.slice(start, ROWS_PER_WRITE))
    store.commit_fragments(TableName.FEATURES, f"r-{ds}", [writer.fragment()])
    return store


def clusters(
    counts: Sequence[int], features: int = 16, distance: float = 2.0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Returns features, float32 [n, features], of classes around points of a sphere, and their classes, int64 [n]."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((len(counts), features), np.float32)
    centres *= distance / np.linalg.norm(centres, axis=1, keepdims=True)
    classes = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    return centres[classes] + rng.standard_normal((len(classes), features), np.float32), classes


def train(*arguments: object) -> dict[str, Any]:
    """Trains in this process and returns the metrics; the store and the rest are given as options."""
    output = next(str(argument).partition("=")[2] for argument in arguments if str(argument).startswith("--output="))
    assert train_command.main([*map(str, arguments)]) == 0
    metrics: dict[str, Any] = json.loads(Path(output, "metrics.json").read_text())
    return metrics
