"""What was measured, and what follows from it: medians, speeds, the steady state."""

import dataclasses
import statistics
from collections.abc import Sequence

from tests.benchmarks.cases import PEERS, WARM, WARM_HALF, Case
from tests.benchmarks.machine import Limit


@dataclasses.dataclass(frozen=True)
class Outcome:
    """One run of one contestant.

    Attributes:
        contestant: Its name.
        round: The number of the round, from 1.
        pictures: How many pictures it processed.
        seconds: Wall time, start-up included.
        cpu_seconds: CPU time of all its processes.
        peak_bytes: The most memory of all its processes at one time.
        failure: Why it does not count; empty if it does.
        cosine: The least cosine of a picture's features to those of Keras in float32; None where there are none.
    """

    contestant: str
    round: int
    pictures: int
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    failure: str = ""
    cosine: float | None = None


@dataclasses.dataclass
class CaseResult:
    """All that was measured of a case.

    Attributes:
        case: The case.
        outcomes: One a contestant and round.
        limits: What the machine allowed, one a round.
    """

    case: Case
    outcomes: list[Outcome] = dataclasses.field(default_factory=list)
    limits: list[Limit] = dataclasses.field(default_factory=list)

    def of(self, contestant: str) -> list[Outcome]:
        """Returns the outcomes of a contestant."""
        return [outcome for outcome in self.outcomes if outcome.contestant == contestant]

    def failure(self, contestant: str) -> str:
        """Returns why a contestant has no figure; empty if it has one. One failed round takes it out."""
        outcomes = self.of(contestant)
        return next((outcome.failure for outcome in outcomes if outcome.failure), "" if outcomes else "not run")

    def seconds(self, contestant: str) -> float | None:
        """Returns the median wall time of a contestant, or None if it failed."""
        return None if self.failure(contestant) else statistics.median(row.seconds for row in self.of(contestant))

    def images_per_second(self, contestant: str) -> float | None:
        """Returns the images a second of a contestant's whole process, or None if it failed."""
        seconds = self.seconds(contestant)
        return None if seconds is None else self.case.count_of(contestant) / seconds

    def paired_ratio(self, ours: str, peer: str) -> float | None:
        """Returns the median, over the rounds that both ran, of a peer's time divided by ours."""
        if self.failure(ours) or self.failure(peer):
            return None
        seconds = {outcome.round: outcome.seconds for outcome in self.of(ours)}
        ratios = [outcome.seconds / seconds[outcome.round] for outcome in self.of(peer) if outcome.round in seconds]
        return statistics.median(ratios) if ratios else None

    def cpu_seconds_per_image(self, contestant: str) -> float | None:
        """Returns the median of a contestant's CPU time for a picture, start-up included, or None if it failed."""
        if self.failure(contestant):
            return None
        return statistics.median(row.cpu_seconds / row.pictures for row in self.of(contestant))

    def peak_bytes(self, contestant: str) -> float | None:
        """Returns the median of a contestant's peak memory, or None if it failed."""
        return None if self.failure(contestant) else statistics.median(row.peak_bytes for row in self.of(contestant))

    @property
    def best_peer(self) -> str | None:
        """The fastest peer, or None if there is none."""
        speeds = {name: self.images_per_second(name) or 0.0 for name in self.case.contestants if name in PEERS}
        best = max(speeds, key=speeds.__getitem__, default=None)
        return best if best is not None and speeds[best] else None

    def in_the_running(self, behind: float) -> tuple[str, ...]:
        """Returns the contestants without the peers that failed or took `behind` times the time of the best one."""
        best = self.seconds(self.best_peer) if self.best_peer else None
        worst = behind * best if best else float("inf")
        return tuple(
            name for name in self.case.contestants if name not in PEERS or (self.seconds(name) or float("inf")) < worst
        )

    @property
    def limit(self) -> Limit | None:
        """The medians of what the machine allowed, or None if it was not measured."""
        return median_limit(self.limits)

    @property
    def steady_state(self) -> float | None:
        """Images a second beyond the start: N/2 / (seconds for N − seconds for N/2), the store written in both."""
        whole, half = self.seconds(WARM), self.seconds(WARM_HALF)
        if whole is None or half is None or whole <= half:
            return None
        return (self.case.count - self.case.count_of(WARM_HALF)) / (whole - half)


def median_limit(limits: Sequence[Limit]) -> Limit | None:
    """Returns the medians of the parts of several limits, or None if there is none."""
    if not limits:
        return None
    runtimes = {runtime for limit in limits for runtime in limit.bare_speeds}
    return Limit(
        bare_speeds={
            runtime: statistics.median(limit.bare_speeds[runtime] for limit in limits if runtime in limit.bare_speeds)
            for runtime in sorted(runtimes)
        },
        decode_seconds=statistics.median(limit.decode_seconds for limit in limits),
        cores=limits[0].cores,
    )


def share_of_limit(result: CaseResult) -> float | None:
    """Returns the steady state as a share of the composite limit, or None if one of them is missing."""
    limit, steady = result.limit, result.steady_state
    if limit is None or steady is None:
        return None
    return steady / limit.images_per_second


@dataclasses.dataclass(frozen=True)
class Figure:
    """One figure of a benchmark that is no race.

    Attributes:
        name: What was measured.
        values: One a round.
        unit: Their unit.
        failure: Why there are none; empty if there are.
    """

    name: str
    values: tuple[float, ...]
    unit: str
    failure: str = ""

    @property
    def median(self) -> float | None:
        """The median of the rounds, or None if it failed."""
        return statistics.median(self.values) if self.values and not self.failure else None


def ratio(name: str, above: Figure, below: Figure) -> Figure:
    """Returns the ratio of the medians of two figures."""
    if above.median is None or not below.median:
        return Figure(name, (), "×", above.failure or below.failure or "not run")
    return Figure(name, (above.median / below.median,), "×")
