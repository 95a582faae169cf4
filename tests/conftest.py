"""What the tests share: the folder of real pictures and weights, small pictures, and ways to run the commands."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipelines import extract as extract_command
from schemas.store import FeatureStore

REPOSITORY = Path(__file__).parents[1]
SHARED = REPOSITORY.parent / "shared"
SMALL_BASE = ("--conv_base=MobileNet", "--conv_base_arg=alpha=0.25", "--weights=none", "--input_shape=32,32,3")

Run = Callable[..., subprocess.CompletedProcess[str]]


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
def run(tmp_path: Path) -> Run:
    """Runs a command as a user would, in an empty folder: `run("extract", "--input=...")`."""

    def run_module(command: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", f"pipelines.{command}", *map(str, arguments)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    return run_module


def write_pictures(folder: Path, count: int, seed: int = 0) -> list[Path]:
    """Writes JPEGs of noise, 40 × 30 pixels."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    paths = [folder / f"{number:03}.jpg" for number in range(count)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (30, 40, 3), np.uint8)).save(path)
    return paths


def extract(*arguments: object) -> dict[str, Any]:
    """Runs an extraction in this process and returns its summary; the store and the rest are given as options."""
    store = next(str(argument).partition("=")[2] for argument in arguments if str(argument).startswith("--output="))
    summary = Path(store).with_suffix(".summary.json")
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
