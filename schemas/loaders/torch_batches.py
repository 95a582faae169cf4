"""Batches for PyTorch; imported only where they are asked for, as PyTorch is."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from schemas.loaders.batches import RowBatches
from schemas.loaders.order import Reader


class TorchBatches(IterableDataset):
    """Batches of a scan as an `IterableDataset`, for a `DataLoader` with `batch_size=None`.

    A batch is a dictionary by column: tensors of features and numbers, lists of everything else. Each worker of the
    loader reads a part of the rows, and each rank of `torch.distributed`, where it was initialised, another one.
    """

    def __init__(self, batches: RowBatches) -> None:
        """Begins with epoch 0; see `Scan.to_torch`."""
        super().__init__()
        self._batches = batches
        self._epoch = 0
        self._step = 0

    def set_epoch(self, epoch: int, step: int = 0) -> None:
        """Chooses what the next iteration gives: another epoch has another order.

        Args:
            epoch: The epoch, from 0.
            step: Batches of the epoch that this rank has had already, with as many workers as now.
        """
        self._epoch, self._step = epoch, step

    def steps(self, workers: int = 0) -> int:
        """Returns the batches of this rank in an epoch, read by so many workers; each may end with a smaller one."""
        return self._batches.steps(Reader(*_rank(), workers=max(workers, 1)))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yields the batches of this worker."""
        worker = get_worker_info()
        part = (worker.id, worker.num_workers) if worker else (0, 1)
        for batch in self._batches.read(self._epoch, self._step, Reader(*_rank(), *part)):
            yield {name: _tensor(values) for name, values in batch.items()}


def _rank() -> tuple[int, int]:
    distributed = torch.distributed
    if not (distributed.is_available() and distributed.is_initialized()):
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


def _tensor(values: np.ndarray) -> Any:
    return values.tolist() if values.dtype == object else torch.from_numpy(values)
