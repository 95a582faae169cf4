"""`Classifier`: a trained classifier in its folder, and the one way to put one there.

The card is written last and in one step, and names the files that belong to it. Files that replace others are written
twice: into a folder beside them, which the card then names, and, once nothing names the old ones, under their usual
names. So a kill at any moment leaves the old classifier or the new one, whole, also on storage that cannot rename.
"""

import dataclasses
import posixpath
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from schemas.classifiers.labels import LabelSet
from schemas.classifiers.model_card import ModelCard
from schemas.classifiers.model_files import OLD_LIST, ModelFiles
from schemas.classifiers.reservation import claimed_folder
from schemas.errors import DamagedModel, InvalidSpec, ModelNotFound, RunFailed, first_line, shown
from schemas.storage import (
    UNFINISHED,
    PublishedFile,
    check_reachable,
    file_system,
    join,
    read_json_file,
    remove_folder,
    write_file,
)

CARD_FILE: Final = "model_card.json"
LABELS_FILE: Final = "labels.json"
# What a folder holds that has the log of a table under this name.
_TABLES: Final = {"features": "a feature store", "predictions": "predictions"}
_REPLACEMENT: Final = "replacement-"
# Of what is wrong with a file that somebody else may have made.
_MOST_CHARACTERS: Final = 300


@dataclasses.dataclass(frozen=True)
class Classifier:
    """A trained classifier in its folder, not loaded.

    Attributes:
        uri: The folder.
        card: What is known of it.
        labels: Its classes.
        files: Its files, as they were when it was opened: those of one that replaces it are refused. Each is compared
            with the card when it is read.
    """

    uri: str
    card: ModelCard
    labels: LabelSet
    files: ModelFiles

    @classmethod
    def open(cls, uri: str) -> "Classifier":
        """Reads the card of a classifier and its labels, and looks whether its files are there in their sizes.

        Raises:
            ModelNotFound: If there is none, or it may not be read.
            StoreUnreachable: If it is in a bucket that cannot be reached.
            DamagedModel: If a file is missing or cut off, or card or labels are not those that were written.
        """
        check_reachable(uri)
        card = _read_card(uri)
        files = ModelFiles.listed(uri, card.files)
        try:
            files.check_sizes()
            return cls(uri, card, _labels(files), files)
        except DamagedModel:
            if _read_card(uri) == card:
                raise
        return cls.open(uri)  # It was replaced meanwhile.


def holds_classifier(uri: str) -> bool:
    """Whether there is a classifier in a folder, whole or damaged.

    Raises:
        OSError: If the storage does not say.
    """
    fs, path = file_system(join(uri, CARD_FILE))
    fs.invalidate_cache()
    return bool(fs.exists(path))


def publish_classifier(uri: str, card: ModelCard, contents: Mapping[str, bytes | Path]) -> ModelCard:
    """Writes a classifier, in the place of the one that may be there; whoever opens it finds one of them, whole.

    On a disk the folder has to be locked: see `locked_folder`.

    Args:
        uri: The folder. Files in it that are no classifier's stay.
        card: What is known of it, but for its files.
        contents: Its files by name, as bytes or as local files.

    Returns:
        The card as it is written.

    Raises:
        OSError: If the folder cannot be written. The classifier that was there is there still, or the new one is.
        RunFailed: If another training has taken the folder over, of which this one has been silent for minutes.
    """
    with claimed_folder(uri) as renew:
        before: set[str] = set()
        if holds_classifier(uri):
            before = _named_before(uri)
            _publish_beside(uri, card, contents, renew)
        whole = _publish(uri, card, contents, renew)
        renew()
        _remove_replaced(uri, before, whole)
    return whole


def add_file(uri: str, card: ModelCard, name: str, data: bytes) -> ModelCard:
    """Adds a file to a classifier that is published: the file first, then the card, which names it from then on.

    On a disk the folder has to be locked: see `locked_folder`.

    Args:
        uri: The folder.
        card: Its card, as `publish_classifier` returned it.
        name: The file's name, which none of the others has.
        data: What is in it.

    Returns:
        The card as it is written.

    Raises:
        OSError: If the folder cannot be written. The classifier is there, whole, without the file.
        RunFailed: If another training has replaced the classifier meanwhile.
    """
    with claimed_folder(uri) as renew:
        if _read_card(uri).files != card.files:
            raise RunFailed(f"Another training has replaced the classifier in {uri}; {name} is not written.")
        write_file(join(uri, name), data)
        renew()
        return _write_card(uri, dataclasses.replace(card, files=(*card.files, PublishedFile.of(name, name, data))))


def _publish_beside(uri: str, card: ModelCard, contents: Mapping[str, bytes | Path], renew: Callable[[], None]) -> None:
    beside = f"{_REPLACEMENT}{uuid.uuid4().hex[:8]}/"
    try:
        _publish(uri, card, contents, renew, beside)
    except (OSError, KeyboardInterrupt):
        if not any(path.startswith(beside) for path in _named_before(uri)):
            remove_folder(join(uri, beside))
        raise


def _read_card(uri: str) -> ModelCard:
    card_uri = join(uri, CARD_FILE)
    try:
        return ModelCard.from_json(read_json_file(card_uri))
    except PermissionError as error:
        raise ModelNotFound(f"The classifier at {uri} may not be read: {first_line(error)}") from error
    except OSError as error:
        held = next((what for table, what in _TABLES.items() if _is_folder(join(uri, table, "_delta_log"))), None)
        more = f", which holds {held}." if held else f" (no {CARD_FILE}); pipelines.train --output={uri} makes one."
        raise ModelNotFound(f"There is no classifier at {uri}{more}") from error
    except (ValueError, InvalidSpec) as error:
        raise DamagedModel(
            card_uri, f"it is no card of a classifier, or was altered ({shown(first_line(error), 300)})"
        ) from error


def _labels(files: ModelFiles) -> LabelSet:
    try:
        return LabelSet.from_json(files.read(LABELS_FILE))
    except ValueError as error:
        raise DamagedModel(
            join(files.uri, LABELS_FILE), f"it lists no classes ({shown(first_line(error), 300)})"
        ) from error


def _publish(
    uri: str, card: ModelCard, contents: Mapping[str, bytes | Path], renew: Callable[[], None], beside: str = ""
) -> ModelCard:
    """Writes the files, into a folder beside them if one is named, and then the card, which names them."""
    files = []
    for name, content in contents.items():
        data = content.read_bytes() if isinstance(content, Path) else content
        renew()
        write_file(join(uri, beside + name), data)
        files.append(PublishedFile.of(name, beside + name, data))
    renew()
    return _write_card(uri, dataclasses.replace(card, files=tuple(files)))


def _write_card(uri: str, card: ModelCard) -> ModelCard:
    write_file(join(uri, CARD_FILE), card.to_json().encode())
    return card


def _named_before(uri: str) -> set[str]:
    """Returns the paths that the card in a folder names; none where it cannot be read."""
    try:
        return {file.path for file in _read_card(uri).files} or {OLD_LIST}
    except (DamagedModel, ModelNotFound):
        return set()


def _remove_replaced(uri: str, before: set[str], card: ModelCard) -> None:
    """Removes files that no card names any more, and what trainings have left that were killed."""
    named = {file.path for file in card.files}
    fs, root = file_system(uri)
    for folder in {posixpath.dirname(path) for path in named}:
        for found in fs.ls(join(root, folder), detail=False):
            name = posixpath.basename(found.rstrip("/"))
            if name.endswith(UNFINISHED):
                fs.rm_file(found)
            elif name.startswith(_REPLACEMENT):
                remove_folder(join(uri, name))
    for path in before - named:
        if fs.exists(join(root, path)):
            fs.rm_file(join(root, path))


def _is_folder(uri: str) -> bool:
    fs, path = file_system(uri)
    found: bool = fs.isdir(path)
    return found
