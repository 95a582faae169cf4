"""Order: which rows are in which batch, decided by seed, epoch and reader alone. Nothing is read here."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np

from schemas.errors import UsageError
from schemas.loaders.windows import packed


class GroupRows(NamedTuple):
    """Rows of a row group, of those that a scan has of it."""

    group: int
    first: int
    last: int


@dataclasses.dataclass(frozen=True)
class Reader:
    """One of the processes that read a table together: each rank has a part of its rows, each worker a part of that.

    Attributes:
        rank: The rank, from 0.
        ranks: How many there are.
        worker: The worker of the rank, from 0.
        workers: How many it has.
    """

    rank: int = 0
    ranks: int = 1
    worker: int = 0
    workers: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.ranks:
            raise UsageError(f"rank={self.rank} is none of ranks={self.ranks}, which are counted from 0.")

    def rows(self, total: int, *, even: bool) -> tuple[int, int]:
        """Returns the place of the first of its rows, and the one after the last.

        Args:
            total: All rows.
            even: Whether each rank has as many as the others, for which up to `ranks - 1` rows are left out.
        """
        shared = total - total % self.ranks if even else total
        first, last = (shared * rank // self.ranks for rank in (self.rank, self.rank + 1))
        start, end = ((last - first) * worker // self.workers for worker in (self.worker, self.worker + 1))
        return first + start, first + end

    def together(self) -> "list[Reader]":
        """Returns all workers of its rank."""
        return [dataclasses.replace(self, worker=worker) for worker in range(self.workers)]


ALONE: Final = Reader()


@dataclasses.dataclass(frozen=True)
class BatchOrder:
    """How rows are put into batches.

    Attributes:
        batch_size: Rows a batch.
        shuffle: Whether row groups come in another order in each epoch, and the rows of a window are shuffled.
        seed: Another seed gives another order.
        window_bytes: The most bytes that are read and shuffled together, but a row group at least.
    """

    batch_size: int
    shuffle: bool
    seed: int
    window_bytes: int

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.window_bytes < 1:
            raise UsageError(f"batch_size={self.batch_size} and window_mb must be 1 or more.")

    def windows(self, rows: np.ndarray, row_bytes: int, epoch: int, reader: Reader) -> Iterator[list[GroupRows]]:
        """Yields what a reader reads together in an epoch.

        Args:
            rows: int64 [groups], the rows of each row group.
            row_bytes: The bytes of a row.
            epoch: The epoch, from 0.
            reader: Whose windows.
        """
        groups = np.arange(len(rows))
        if self.shuffle:
            groups = np.random.default_rng([self.seed, epoch]).permutation(groups)
        first, last = reader.rows(int(rows.sum()), even=self.shuffle)
        pieces = list(_group_rows(rows, groups, first, last))
        sizes = np.array([row_bytes * (piece.last - piece.first) for piece in pieces], np.int64)
        for window in packed(np.arange(len(pieces)), sizes, self.window_bytes):
            yield [pieces[number] for number in window]

    def within(self, rows: int, epoch: int, reader: Reader, window: int) -> np.ndarray:
        """Returns int64 [rows], the order of the rows of a window."""
        if not self.shuffle:
            return np.arange(rows)
        own = [self.seed, epoch, window + 1, reader.rank, reader.worker]
        return np.random.default_rng(own).permutation(rows)

    def steps(self, total: int, reader: Reader) -> int:
        """Returns the batches of a reader in an epoch.

        Args:
            total: The rows of all readers.
            reader: Which one.
        """
        first, last = reader.rows(total, even=self.shuffle)
        return -(-(last - first) // self.batch_size)

    def resumed(self, step: int, total: int, reader: Reader) -> tuple[Reader, int]:
        """Returns as which worker of its rank one goes on, and how many batches that has given already.

        Whoever reads from workers in turn begins again with the first one, which therefore goes on as the one whose
        turn it was.

        Args:
            step: The batches that the rank has had, from workers in turn.
            total: The rows of all readers.
            reader: The worker.
        """
        taken, order = after_turns(step, [self.steps(total, worker) for worker in reader.together()])
        worker = order[reader.worker]
        return dataclasses.replace(reader, worker=worker), taken[worker]


def after_turns(turns: int, each: Sequence[int]) -> tuple[list[int], list[int]]:
    """Returns how many turns each has taken after so many of all, and in which order they take the next ones.

    Args:
        turns: The turns of all together, who take them in turn until each has had its number.
        each: These numbers. Who has had it comes last in the order.
    """
    taken, order = [0] * len(each), list(range(len(each)))
    while turns > 0:
        going = [number for number in order if taken[number] < each[number]]
        if not going:
            break
        rounds = min(turns // len(going), *(each[number] - taken[number] for number in going))
        last = len(going) if rounds else turns
        for number in going[:last]:
            taken[number] += max(rounds, 1)
        turns -= last * max(rounds, 1)
        order = going[last:] + going[:last]
    going = [number for number in order if taken[number] < each[number]]
    return taken, going + [number for number in range(len(each)) if number not in going]


def _group_rows(rows: np.ndarray, groups: np.ndarray, first: int, last: int) -> Iterator[GroupRows]:
    """Yields what lies between two places of all rows, the row groups being in an order."""
    start = 0
    for group in groups:
        end = start + int(rows[group])
        here = GroupRows(int(group), max(first - start, 0), min(last, end) - start)
        if here.first < here.last:
            yield here
        start = end
