"""PyTorch: a DataLoader whose processes decode with torchvision, a network in channels last, compiled.

After https://docs.pytorch.org/tutorials/recipes/recipes/tuning_guide.html. The architecture is the same;
weights and details (padding, where a block strides) are torchvision's.
"""

import contextlib
import os
from collections.abc import Callable

import numpy as np
import torch
import torch._inductor.config as inductor
from torch.utils.data import DataLoader, Dataset
from torchvision.io import ImageReadMode, decode_jpeg, read_file
from torchvision.transforms.v2 import functional

from tests.benchmarks.peers.task import BATCH_SIZE, Task, read_object
from tests.benchmarks.peers.torch_networks import FeatureExtractor


class Pictures(Dataset[torch.Tensor]):
    """Pictures of a task, uint8 [3, side, side]."""

    def __init__(self, task: Task) -> None:
        self._task = task

    def __len__(self) -> int:
        return len(self._task.pictures)

    def __getitem__(self, number: int) -> torch.Tensor:
        image = decode_jpeg(self._read(self._task.pictures[number]), ImageReadMode.RGB)
        return functional.resize(image, [self._task.side, self._task.side], antialias=False)

    def _read(self, picture: str) -> torch.Tensor:
        if not self._task.is_remote:
            return read_file(picture)
        return torch.frombuffer(bytearray(read_object(picture)), dtype=torch.uint8)


def compiled(task: Task) -> Callable[[torch.Tensor], torch.Tensor]:
    """Returns a network whose convolutions are fused and whose weights are laid out for them."""
    inductor.freezing = True
    network = FeatureExtractor(task.conv_base).eval().to(memory_format=torch.channels_last)
    return torch.compile(network)


def autocast(task: Task) -> contextlib.AbstractContextManager[object]:
    """Returns where operations run in the task's precision."""
    return (
        torch.autocast("cpu", torch.bfloat16, cache_enabled=False)
        if task.precision == "bfloat16"
        else contextlib.nullcontext()
    )


def main() -> None:
    """Extracts the features."""
    task = Task.from_command_line()
    loader = DataLoader(Pictures(task), BATCH_SIZE, num_workers=len(os.sched_getaffinity(0)), prefetch_factor=2)
    network = compiled(task)
    with torch.no_grad(), autocast(task):
        features = [network(pixels).numpy() for pixels in loader]
    task.write(np.concatenate(features))


if __name__ == "__main__":
    main()
