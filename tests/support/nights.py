"""Nights without Beam and without a conv base: `pipelines.jobs` step by step, so that tests can stop anywhere.

The pictures are of one colour, and the feature of a picture is its mean colour: what is in the table tells whose bytes
it was computed from.
"""

import contextlib
import dataclasses
import datetime
import functools
import io
import os
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa
from PIL import Image

from schemas.classifiers import trains_by_default
from schemas.commits import appended_rows
from schemas.commits import commit as commit_module
from schemas.delta import Scan, conflict_token, paths_of
from schemas.fragments import Fragment, TableName, remove_receipts
from schemas.spec import FeatureSpec
from schemas.store import FeatureStore, Run, RunResult, RunState
from transforms.conv_bases import EngineName, Features, load_engine
from transforms.decoding import MAX_BYTES, DecodingLimits
from transforms.extraction import Extraction, ShardResult, Worker
from transforms.extraction.run_commit import commit_run
from transforms.extraction.shard import compute_shard
from transforms.images import LoadingPools
from transforms.planning import RetryFailures, Snapshot, adopt
from transforms.planning.adoption import finished_images
from transforms.planning.known_images import known_images
from transforms.planning.plan import Plan, last_shards, plan_images
from transforms.sources import FolderSource, IgnoredFiles, ListingRules, list_source

SIDE = 4
SHARD_SIZE = 2
BAD = -1
SPEC = FeatureSpec(
    conv_base="VGG16", weights="none", weights_sha256="ab" * 32, input_shape=(SIDE, SIDE, 3), layers=("colour",),
    feature_shapes=((3,),),
)  # fmt: skip

Key = tuple[str, str]


class Killed(BaseException):
    """The process ends here, as by `kill -9`: nothing may catch this."""


class MeanColours:
    """An engine whose features are the mean colours of pictures; see `Engine`.

    Attributes:
        computed: Pictures that it was given so far.
    """

    batches_in_flight = 2
    load_seconds = 0.0

    def __init__(self) -> None:
        self.computed = 0

    def submit(self, pixels: np.ndarray) -> "Future[Features]":
        self.computed += int((pixels.sum(axis=(1, 2, 3)) > 0).sum())
        future: Future[Features] = Future()
        future.set_result([pixels.mean(axis=(1, 2), dtype=np.float32)])
        return future


@functools.cache
def picture_bytes(colour: int) -> bytes:
    """Returns a picture of one colour, 1 to 255, or for `BAD` bytes that are none."""
    if colour == BAD:
        return b"no picture"
    file = io.BytesIO()
    Image.new("RGB", (SIDE, SIDE), (colour, colour // 2, 1)).save(file, "PNG")
    return file.getvalue()


@dataclasses.dataclass
class Night:
    """A run between its plan and its end.

    Attributes:
        run: The run.
        snapshot: The state of the store on which it planned.
        plan: What it computes and adopts.
        fragments: What it has written or adopted so far.
    """

    run: Run
    snapshot: Snapshot
    plan: Plan
    fragments: list[Fragment] = dataclasses.field(default_factory=list)

    @property
    def planned(self) -> list[Key]:
        """(uri, version) of the images that it computes or adopts."""
        computed = [] if self.plan.refs is None else [self.plan.refs]
        batches = [*computed, *(wanted for _, wanted in self.plan.finished)]
        return [
            key for batch in batches for key in zip(batch["uri"].to_pylist(), batch["version"].to_pylist(), strict=True)
        ]


class World:
    """A folder of pictures and a store.

    Attributes:
        store: The store.
        pictures: The folder.
        engine: What computes features.
    """

    def __init__(self, folder: Path, spec: FeatureSpec = SPEC) -> None:
        self.pictures = folder / "pictures"
        self.pictures.mkdir()
        self.store = FeatureStore.create(str(folder / "a store #1"), spec)
        self.engine = MeanColours()
        self._worker = Worker(self.engine, loading_pools())
        self._clock = 1_700_000_000

    @classmethod
    def of(cls, store: FeatureStore, pictures: Path, worker: Worker) -> "World":
        """Returns the world of a store that a command has made, with a worker that has its conv base loaded."""
        world = cls.__new__(cls)
        world.store, world.pictures, world._worker = store, pictures, worker
        return world

    @property
    def store_folder(self) -> Path:
        return Path(self.store.uri.removeprefix("file://"))

    def log(self, table: TableName) -> Path:
        """Returns the folder of a table's log."""
        return self.store_folder / table / "_delta_log"

    def uri(self, name: str) -> str:
        return f"file://{self.pictures / name}"

    def put(self, name: str, colour: int) -> str:
        """Writes a picture, at a moment of its own, and returns its version."""
        (self.pictures / name).write_bytes(picture_bytes(colour))
        return self.touch(name)

    def touch(self, name: str) -> str:
        """Gives a picture another time, and returns its version."""
        self._clock += 1
        os.utime(self.pictures / name, (self._clock, self._clock))
        return f"{(self.pictures / name).stat().st_size}-{self._clock}.000000"

    def plan(self, run_id: str | None = None) -> Night:
        """Begins a run, up to its plan."""
        now = datetime.datetime.now(datetime.UTC)
        run = Run(
            run_id=run_id or f"night-{uuid.uuid4().hex[:8]}", ds=now.date(), started_at=now, max_failure_ratio=1.0,
            runner="", engine="", options={}, versions={},
        )  # fmt: skip
        snapshot = Snapshot.newest(self.store)
        listed = list(list_source(FolderSource(f"file://{self.pictures}"), ListingRules(), IgnoredFiles()))
        plan = plan_images(listed, known_images(snapshot, RetryFailures.TRANSIENT), finished_images(snapshot))
        return Night(run, snapshot, plan)

    def shards(self, night: Night) -> list[pa.RecordBatch]:
        return [] if night.plan.refs is None else last_shards([night.plan.refs], SHARD_SIZE)

    def extraction(self, night: Night) -> Extraction:
        return Extraction(
            output_uri=self.store.uri, spec=self.store.spec, schema=pa.schema(self.store.features().schema()),
            run_id=night.run.run_id, ds=night.run.ds, engine=EngineName.OPENVINO, batch_size=2, limits=DecodingLimits(),
            max_bytes=MAX_BYTES,
        )  # fmt: skip

    def compute(self, night: Night, shard: pa.RecordBatch) -> ShardResult:
        """Writes the fragments of a shard, and their receipts."""
        return compute_shard(shard, lambda _: self._worker, self.extraction(night))

    def work(self, night: Night) -> Night:
        """Computes and adopts all that is planned; returns the run."""
        for shard in self.shards(night):
            night.fragments += self.compute(night, shard).fragments
        for described, wanted in night.plan.finished:
            night.fragments.append(adopt(self.store.uri, night.run.run_id, described, [wanted]))
        return night

    def commit(self, night: Night) -> RunResult:
        outcome = commit_run(night.snapshot, night.run, night.fragments, night.plan.counts)
        if outcome.state == RunState.COMPLETE:
            remove_receipts(self.store.uri, night.run.run_id, paths_of(self.store.features()))
        return outcome

    def extract(self) -> RunResult:
        """Runs a night from its beginning to its end."""
        return self.commit(self.work(self.plan()))

    def rows(self, table_version: int | None = None) -> dict[str, tuple[str, int]]:
        """Returns version and colour by name; every image is there once, with all rows that it is to have."""
        rows = self.store.scan(table_version=table_version).to_arrow().to_pylist()
        found = {Path(row["uri"]).name: (row["version"], row["colour"]) for row in rows}
        whole = self.store.spec.rows_per_training_image
        expected = [
            (name, index)
            for name, sha256 in {Path(row["uri"]).name: row["sha256"] for row in rows}.items()
            for index in range(whole if trains_by_default(None, sha256) else 1)
        ]
        there = [(Path(row["uri"]).name, row.get("augmentation", 0)) for row in rows]
        assert sorted(there) == sorted(expected), "an image is in the table twice, or not with all of its rows"
        assert all((row["version"], row["colour"]) == found[Path(row["uri"]).name] for row in rows), (
            "rows of two nights"
        )
        assert all(colour == [colour[0], colour[0] // 2, 1] for _, colour in found.values()), "features of two pictures"
        return {name: (version, int(colour[0])) for name, (version, colour) in found.items()}

    def failures(self) -> set[tuple[str, str]]:
        """Returns name and version of the images in `failures`; each is there once."""
        rows = Scan(self.store.failures(), ["uri", "version"]).to_arrow().to_pylist()
        found = {(Path(row["uri"]).name, row["version"]) for row in rows}
        assert len(found) == len(rows), "a failure is in the table twice"
        return found

    def runs(self) -> list[dict[str, object]]:
        """Returns the rows of all runs; the accounts of each are checked."""
        rows: list[dict[str, object]] = Scan(self.store.runs()).to_arrow().to_pylist()
        for row in rows:
            known = sum(int(str(row[name] or 0)) for name in ("extracted", "failed", "skipped", "remaining"))
            assert row["listed"] == known, row
        return rows

    def check_log(self) -> None:
        """Checks that the versions of `features` are contiguous."""
        paths = sorted(self.log(TableName.FEATURES).glob("*.json"))
        assert [int(path.stem) for path in paths] == list(range(self.store.features().version() + 1))


@functools.cache
def loading_pools() -> LoadingPools:
    """What loads pictures, the same for all worlds of a process: its threads are never ended."""
    return LoadingPools.start(threads=1)


def worker_of(store: FeatureStore) -> Worker:
    """Loads the conv base of a store, as a command does that has one thread."""
    engine = load_engine(EngineName.OPENVINO, store.conv_base(), batch_size=2, threads=1)
    return Worker(engine, loading_pools())


@contextlib.contextmanager
def at_write(table: str, moment: Callable[[], None], *, done: bool) -> Iterator[None]:
    """Lets something happen once, right before or after the next commit to a table.

    Args:
        table: The table's name.
        moment: What happens; it may raise.
        done: Whether the commit is done first.
    """
    pending = [moment]

    def wrapped(write: Callable[..., None], written: Any, *arguments: object, **named: object) -> None:
        here = str(written.table_uri).rstrip("/").rpartition("/")[2] == table and bool(pending)
        if here and not done:
            pending.pop()()
        write(written, *arguments, **named)
        if here and done and pending:
            pending.pop()()

    with contextlib.ExitStack() as patches:
        for module, name in (
            (commit_module, "write_actions"),
            (conflict_token, "write_actions"),
            (appended_rows, "write_actions"),
        ):
            write = getattr(module, name)
            patches.enter_context(mock.patch.object(module, name, functools.partial(wrapped, write)))
        yield
