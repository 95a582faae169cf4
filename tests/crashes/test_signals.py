"""A run that a signal ends says what is true, keeps what is finished, and leaves nothing behind."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from schemas.fragments import read_receipts
from schemas.store import FeatureStore
from tests.conftest import REPOSITORY, extract, write_pictures

IMAGES = 3000
# Enough work for some seconds: the same picture under many names, computed each time.
OPTIONS = (
    "--conv_base=MobileNet", "--weights=none", "--input_shape=128,128,3", "--reuse=none", "--shard_size=50",
)  # fmt: skip


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    (first,) = write_pictures(tmp_path / "pictures", 1)
    for number in range(1, IMAGES):
        os.link(first, first.with_name(f"link-{number:04}.jpg"))
    return tmp_path / "pictures"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_run_with_one_sentence(number: signal.Signals, code: int, pictures: Path) -> None:
    store, temporary = pictures.parent / "store", pictures.parent / "temporary"
    temporary.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "pipelines.extract", f"--input={pictures}", f"--output={store}", *OPTIONS],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "TMPDIR": str(temporary)},
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    while len(list(store.glob("receipts/*/*.json"))) < 3:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == code, stderr
    sentence = re.fullmatch(
        r"error: Run \S+ is interrupted; nothing of it is visible\. "
        r"The next run adopts (\d+) images that are finished\.\n",
        stderr,
    )
    assert sentence is not None, stderr
    assert FeatureStore.open(str(store)).scan(["uri"]).count() == 0
    finished = sum(fragment.images for fragment in read_receipts(f"file://{store}"))
    assert 150 <= int(sentence[1]) <= finished < IMAGES
    assert list(temporary.iterdir()) == []
    assert extract(f"--input={pictures}", f"--output={store}", *OPTIONS)["adopted"] == finished
