"""A shard of images is predicted: each of them is a row of predictions, or a failure."""

import datetime
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from schemas.classifiers import LabelKind, LabelSet, ModelFiles
from schemas.errors import FailureCode
from schemas.fragments import TableName
from tests.support.nights import SPEC, World, loading_pools
from transforms.conv_bases import Features
from transforms.decoding import MAX_BYTES, DecodingLimits
from transforms.extraction import Worker
from transforms.prediction import Prediction
from transforms.prediction.predict import predict_shard

COLOURS = {"a.png": 10, "b.png": 20, "c.png": 30}


class OverflowingAt20:
    """A network that says nothing of pictures of one colour."""

    batches_in_flight = 1
    load_seconds = 0.0

    def submit(self, pixels: np.ndarray) -> "Future[Features]":
        sure = np.where(pixels[:, 0, 0, 0] == 20, np.nan, 0.75).astype(np.float32)
        future: Future[Features] = Future()
        future.set_result([np.stack([1 - sure, sure], axis=1)])
        return future


def test_an_image_of_which_the_scores_are_no_numbers_fails(tmp_path: Path) -> None:
    world = World(tmp_path)
    for name, colour in COLOURS.items():
        world.put(name, colour)
    night = world.plan()
    assert night.plan.refs is not None
    prediction = Prediction(
        output_uri=f"file://{tmp_path}/out", spec=SPEC, run_id="r", ds=datetime.date(2026, 1, 31), batch_size=2,
        limits=DecodingLimits(), max_bytes=MAX_BYTES, model_id="m", files=ModelFiles(f"file://{tmp_path}/model", {}),
        layer="colour", labels=LabelSet(LabelKind.MULTI_CLASS, ("cat", "dog")), label_column="label",
    )  # fmt: skip
    result = predict_shard(night.plan.refs, Worker(OverflowingAt20(), loading_pools()), prediction)
    rows = {
        fragment.table: pq.read_table(tmp_path / "out" / fragment.table / fragment.path).to_pylist()
        for fragment in result.fragments
    }
    said = {row["uri"]: (row["label"], row["score"]) for row in rows[TableName.PREDICTIONS]}
    assert said == {world.uri("a.png"): ("dog", 0.75), world.uri("c.png"): ("dog", 0.75)}
    ((uri, code, message),) = [(row["uri"], row["code"], row["message"]) for row in rows[TableName.FAILURES]]
    assert (uri, code) == (world.uri("b.png"), FailureCode.NOT_FINITE)
    assert message == "The scores are infinite, or no numbers."
