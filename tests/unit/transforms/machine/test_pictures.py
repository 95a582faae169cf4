"""Somebody's own pictures: each is read and decoded, or counted as one that could not be."""

from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image

from schemas.images import refs_of_uris
from schemas.storage import Reach
from transforms.decoding import DecodingRules
from transforms.machine.pictures import sample_pictures


def test_what_can_be_read_and_not_decoded_is_counted(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(tmp_path / "whole.png")
    (tmp_path / "text.png").write_bytes(b"no picture")
    uris = [str(tmp_path / name) for name in ("whole.png", "text.png", "missing.png")]
    refs = refs_of_uris(pa.array(uris))
    found = sample_pictures(
        [refs], DecodingRules(32, 32), pictures=3, max_bytes=10**6, reach=Reach(), seconds=30.0
    )  # fmt: skip
    assert found is not None
    assert (found.costs.pictures, found.costs.unreadable) == (1, 2)
