"""Checkpoints: what a fine-tuning that was killed goes on from. One file, replaced as a whole after each epoch."""

import dataclasses
import io
import json
import logging
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from schemas.errors import UsageError
from schemas.storage import file_system, join, remove_folder, write_file

CHECKPOINT_FOLDER: Final = "checkpoint"
_FILE: Final = "state.npz"
_LOGGER: Final = logging.getLogger(__name__)

# What reading a file raises that is empty, cut off or altered; a zip's members have checksums.
_UNREADABLE: Final = (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile)


@dataclasses.dataclass
class Checkpoint:
    """The state of a fine-tuning between two epochs.

    Attributes:
        asked: All that decides its result, by the names of options.
        before: The metrics of the classifier that it began with.
        history: Loss and accuracy an epoch so far, by Keras's names.
        best_epoch: The epoch with the lowest validation loss; 0 is the start.
        best_loss: That loss.
        weights: The weights that are trained.
        optimizer: The optimizer's variables.
        best: The trained weights of the best epoch.
    """

    asked: Mapping[str, Any]
    before: Mapping[str, float | None]
    history: dict[str, list[float]]
    best_epoch: int
    best_loss: float
    weights: Sequence[np.ndarray]
    optimizer: Sequence[np.ndarray]
    best: Sequence[np.ndarray]

    @property
    def epochs(self) -> int:
        """The epochs that are done."""
        return len(next(iter(self.history.values()), ()))

    def record(
        self, found: Mapping[str, float], weights: Sequence[np.ndarray], optimizer: Sequence[np.ndarray]
    ) -> None:
        """Adds an epoch.

        Args:
            found: Its loss and accuracy on both parts, by Keras's names.
            weights: The weights that are trained, after it.
            optimizer: The optimizer's variables, after it.
        """
        for name, value in found.items():
            self.history.setdefault(name, []).append(value)
        self.weights, self.optimizer = weights, optimizer
        if found["val_loss"] < self.best_loss:
            self.best_epoch, self.best_loss, self.best = self.epochs, found["val_loss"], weights

    def save(self, uri: str) -> None:
        """Writes the checkpoint of the classifier's folder at `uri`, in the place of the one before.

        Raises:
            OSError: If it cannot be written.
        """
        write_file(join(uri, CHECKPOINT_FOLDER, _FILE), self._to_bytes())

    def _to_bytes(self) -> bytes:
        state = {name: getattr(self, name) for name in ("asked", "before", "history", "best_epoch", "best_loss")}
        arrays = {
            f"{name}/{number}": array
            for name in ("weights", "optimizer", "best")
            for number, array in enumerate(getattr(self, name))
        }
        file = io.BytesIO()
        np.savez(file, told=np.array(json.dumps(state)), **arrays)
        return file.getvalue()

    @classmethod
    def find(cls, uri: str, asked: Mapping[str, Any]) -> "Checkpoint | None":
        """Reads the checkpoint in a classifier's folder, or returns None if there is none.

        Args:
            uri: The folder.
            asked: All that decides the result of what is to go on.

        Returns:
            The checkpoint; none, with a warning, if the file is damaged.

        Raises:
            UsageError: If it is of a fine-tuning that was asked for otherwise.
        """
        if not holds_checkpoint(uri):
            return None
        fs, path = file_system(join(uri, CHECKPOINT_FOLDER, _FILE))
        try:
            with np.load(io.BytesIO(fs.cat_file(path)), allow_pickle=False) as file:
                state = json.loads(str(file["told"]))
                weights, optimizer, best = (_numbered(file, name) for name in ("weights", "optimizer", "best"))
            found = cls(**state, weights=weights, optimizer=optimizer, best=best)
        except _UNREADABLE as error:
            _LOGGER.warning("The checkpoint %s is damaged (%s); training begins from the start.", path, error)
            return None
        _refuse_other(uri, found.asked, json.loads(json.dumps(asked)))
        return found


def holds_checkpoint(uri: str) -> bool:
    """Whether there is a checkpoint in a classifier's folder, whole or damaged."""
    fs, path = file_system(join(uri, CHECKPOINT_FOLDER, _FILE))
    return bool(fs.exists(path))


def remove_checkpoint(uri: str) -> None:
    """Removes the checkpoint of a classifier's folder, if there is one."""
    remove_folder(join(uri, CHECKPOINT_FOLDER))


def _numbered(file: Mapping[str, np.ndarray], name: str) -> list[np.ndarray]:
    count = sum(key.startswith(f"{name}/") for key in file)
    return [file[f"{name}/{number}"] for number in range(count)]


def _refuse_other(uri: str, begun_with: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    differences = [
        f"{name} was {_text(begun_with.get(name))} and is {_text(asked.get(name))}"
        for name in {**begun_with, **asked}
        if begun_with.get(name) != asked.get(name)
    ]
    if differences:
        raise UsageError(
            f"{join(uri, CHECKPOINT_FOLDER)} is of another fine-tuning: {'; '.join(differences)}. Give the options "
            "that it was begun with and it goes on, or remove that folder and it begins again."
        )


def _text(value: object) -> str:
    return json.dumps(value) if isinstance(value, dict | list) else str(value)
