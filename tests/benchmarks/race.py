"""The race: everybody does the same work, one process each, in rounds, so that what disturbs the machine hits all."""

import dataclasses
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds

from schemas.store import FeatureStore
from tests.benchmarks.bare import cores
from tests.benchmarks.cases import COLD, OTHER_WEIGHTS, PEERS, PRECISIONS, SCALED, Case, our_command, peer_command
from tests.benchmarks.machine import OPENVINO, RUNTIMES, SECONDS_PER_SIZE, Limit
from tests.benchmarks.pictures import write_list
from tests.benchmarks.results import CaseResult, Outcome
from tests.benchmarks.workshop import Unmeasurable, Workshop


@dataclasses.dataclass(frozen=True)
class Features:
    """The features that a contestant wrote.

    Attributes:
        paths: The pictures, sorted.
        rows: float32 [n, D], in their order.
    """

    paths: list[str]
    rows: np.ndarray

    @classmethod
    def of(cls, table: pa.Table, uris: str, features: str) -> "Features":
        """Takes the features out of a table with a list column."""
        paths = np.array([unquote(uri).removeprefix("file://") for uri in table[uris].to_pylist()])
        order = np.argsort(paths)
        rows = np.concatenate([chunk.flatten().to_numpy() for chunk in table[features].chunks])
        return cls(paths[order].tolist(), rows.reshape(len(paths), -1)[order])

    def least_cosine(self, reference: "Features") -> float | None:
        """Returns the least cosine of a picture's features to the reference's; None if the pictures differ."""
        if self.paths != reference.paths:
            return None
        norms = np.linalg.norm(self.rows, axis=1) * np.linalg.norm(reference.rows, axis=1)
        return float(np.min((self.rows * reference.rows).sum(axis=1) / norms))


class Race:
    """Runs cases, and remembers what Keras computed in float32 to compare the others with."""

    def __init__(
        self, workshop: Workshop, limit_seconds: float = SECONDS_PER_SIZE, behind: float = float("inf")
    ) -> None:
        """Begins without results.

        Args:
            workshop: Where to work.
            limit_seconds: How long a runtime's speed is measured, for each batch size.
            behind: A peer that took this many times the time of the best one is run once only.
        """
        self._workshop = workshop
        self._behind = behind
        self._limit_seconds = limit_seconds
        self._references: dict[tuple[str, str], Features] = {}
        self._published: dict[tuple[str, str, bool], FeatureStore | Unmeasurable] = {}

    def run(self, case: Case, rounds: int) -> Iterator[CaseResult]:
        """Runs a case and yields what is known of it after every process.

        Peers that are far behind the best one in the first round are not run again.
        """
        result = CaseResult(case)
        for number in range(1, rounds + 1):
            contestants = case.contestants if number == 1 else result.in_the_running(self._behind)
            shift = (number - 1) % len(contestants)
            for contestant in (*contestants[shift:], *contestants[:shift]):
                result.outcomes.append(self._outcome(case, contestant, number))
                yield result
            # What else could run the base says how good ours is; once is enough for that.
            limit = self._limit(case, RUNTIMES if number == 1 else (OPENVINO,))
            if limit is not None:
                result.limits.append(limit)
                yield result

    def _outcome(self, case: Case, contestant: str, number: int) -> Outcome:
        count = case.count_of(contestant)
        pictures = write_list(case.paths[:count], self._workshop.scratch("pictures").with_suffix(".txt"))
        output = self._workshop.scratch("output")
        try:
            if contestant in PEERS:
                command = peer_command(case, contestant, pictures, output)
            elif contestant == COLD:
                command = our_command(case, output, pictures)
            else:
                output = self._workshop.warm_store(self._base(case, scaled=contestant == SCALED))
                command = our_command(case, output, pictures, scaled=contestant == SCALED)
        except Unmeasurable as error:
            return Outcome(contestant, number, count, 0.0, 0.0, 0, str(error))
        measured = self._workshop.run(command, cold=contestant == COLD)
        failure, cosine = measured.message or f"exit code {measured.exit_code}", None
        if measured.exit_code == 0:
            features = _read_features(output, contestant)
            failure = "" if len(features.paths) == count else f"{len(features.paths)} rows for {count} pictures"
            cosine = self._compared(case, contestant, features)
        shutil.rmtree(output, ignore_errors=True)
        return Outcome(
            contestant, number, count, measured.seconds, measured.cpu_seconds, measured.peak_bytes, failure, cosine
        )

    def _base(self, case: Case, *, scaled: bool = False) -> FeatureStore:
        key = (case.conv_base, case.precision, scaled)
        if key not in self._published:
            try:
                self._published[key] = self._workshop.published(case, scaled=scaled)
            except Unmeasurable as error:
                self._published[key] = error
        found = self._published[key]
        if isinstance(found, Unmeasurable):
            raise found
        return found

    def _compared(self, case: Case, contestant: str, features: Features) -> float | None:
        key = (case.conv_base, case.pictures)
        if PEERS.get(contestant) == "keras_predict" and case.precision == PRECISIONS[0]:
            self._references[key] = features
        if PEERS.get(contestant) in OTHER_WEIGHTS:
            return None
        reference = self._references.get(key)
        return None if reference is None else features.least_cosine(reference)

    def _limit(self, case: Case, runtimes: Sequence[str]) -> Limit | None:
        try:
            base = self._base(dataclasses.replace(case, precision=PRECISIONS[0])).conv_base()
        except Unmeasurable:
            return None
        pictures = write_list(case.paths[: case.count], self._workshop.scratch("pictures").with_suffix(".txt"))
        decoding = self._figure(["decoding", f"--pictures={pictures}", f"--side={case.side}"])
        bare = ["bare", f"--conv_base_folder={base.uri.removeprefix('file://')}", f"--precision={case.precision}"]
        given = [f"--conv_base={case.conv_base}", f"--side={case.side}", f"--seconds={self._limit_seconds}"]
        speeds = {runtime: self._figure([*bare, *given, f"--runtime={runtime}"]) for runtime in runtimes}
        found = {runtime: speed for runtime, speed in speeds.items() if speed is not None}
        return Limit(found, decoding, cores()) if decoding is not None and found else None

    def _figure(self, arguments: Sequence[str]) -> float | None:
        file = self._workshop.scratch("figure").with_suffix(".json")
        file.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "tests.benchmarks.machine", *arguments, f"--output={file}"]
        measured = self._workshop.run(command)
        return None if measured.exit_code else float(json.loads(file.read_text()))


def _read_features(output: Path, contestant: str) -> Features:
    if contestant in PEERS:
        return Features.of(ds.dataset(output, format="parquet").to_table(), "uri", "features")
    store = FeatureStore.open(str(output))
    layer = store.spec.layers[0]
    return Features.of(store.scan(["uri", layer]).to_arrow(), "uri", layer)
