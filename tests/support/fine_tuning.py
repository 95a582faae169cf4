"""A fine-tuning without TensorFlow: what that computes is made up, what the command reads and writes is its own.

TensorFlow takes ten seconds to start in each process, and a process that has imported it must not be forked.
"""

import contextlib
import functools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np

from pipelines import finetune as finetune_command
from pipelines.console import finetuning as finetuning_console
from schemas.classifiers import FineTuning, Split
from transforms.evaluation import Evaluation, ScoredSplit, judge
from transforms.export.composing import BASE_WEIGHTS_FILE
from transforms.finetuning import Checkpoint, FineTuned, LabelledPictures

MODEL_ID = "f1" * 8
_MODEL = SimpleNamespace(save=lambda path: Path(path).write_bytes(b"a model"))
_NETWORK = SimpleNamespace(base=_MODEL, head=_MODEL, trainable_parameters=(2, 1))


@contextlib.contextmanager
def without_tensorflow(composed: Path) -> Iterator[None]:
    """Lets `pipelines.finetune` run without TensorFlow.

    Args:
        composed: A folder with the networks of a classifier of the same classes, which those of the new one are.
    """

    def compose(_: object, folder: Path) -> str:
        shutil.copytree(composed, folder, dirs_exist_ok=True)
        (folder / BASE_WEIGHTS_FILE).write_bytes(b"weights" * 100)
        return ""

    with (
        mock.patch.object(finetuning_console, "model_id", return_value=MODEL_ID),
        mock.patch.multiple(
            finetune_command,
            import_tensorflow=lambda: None,
            gpu_takes_bfloat16=lambda: False,
            fetch_network=lambda _: (_NETWORK, "ab" * 32),
            unfreeze=lambda *_: None,
            judge_start=_judged,
            fine_tune=_trained,
            score_split=_scored,
            compose_fine_tuned=compose,
        ),
    ):
        yield


def _scored(_: object, data: LabelledPictures, split: Split) -> ScoredSplit:
    targets = data.images.targets[data.numbers(split)]
    scores = data.images.labels.indicators(targets).astype(np.float32).clip(0.1, 0.9)
    return ScoredSplit(targets, scores, lambda places: [str(place) for place in places])


def _judged(_: object, network: object, data: LabelledPictures) -> Evaluation:
    return judge(data.images.labels, functools.partial(_scored, network, data))


def _trained(
    _: object,
    how: FineTuning,
    data: LabelledPictures,
    start: Checkpoint | None,
    on_epoch: Callable[[Checkpoint], None],
) -> FineTuned:
    """Goes through the epochs that are left, as `fine_tune` does."""
    state = start or Checkpoint({}, {}, {}, best_epoch=0, best_loss=9.0, weights=[], optimizer=[], best=[])
    resumed_from = state.epochs
    for epoch in range(resumed_from + 1, how.epochs + 1):
        found = dict.fromkeys(("loss", "accuracy", "val_loss", "val_accuracy"), 1 / epoch)
        state.record(found, [np.full(100, epoch, np.float32)], [])
        on_epoch(state)
    return FineTuned(state.history, state.best_epoch, resumed_from, seconds=0.1)
