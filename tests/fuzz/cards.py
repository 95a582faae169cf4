"""What holds of the folder of a classifier that somebody else has made: of its card and its list of classes."""

import dataclasses
import functools
import hashlib
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from schemas.classifiers import CARD_FILE, LABELS_FILE, Classifier, LabelSet, ModelCard, publish_classifier
from schemas.errors import ConvbaseError
from schemas.serialisation import with_checksum
from tests.fuzz.mutations import json_text, mutated, mutated_json
from tests.fuzz.target import Target, refusal
from tests.unit.schemas.test_serialisation import CARD, LABELS

_CHECKSUM: Final = "card_sha256"
_NETWORK: Final = "openvino/classifier.xml"
_CLASSES: Final = ("cat", "dog", "", "c\u00e4t", "a\nb", "\u202e", "x" * 300)


class Folder(NamedTuple):
    """The texts of a classifier's folder; None where they are as they were written."""

    card: bytes | None = None
    labels: bytes | None = None


@functools.cache
def _folder() -> Path:
    """A folder with a classifier of few files."""
    folder = Path(tempfile.mkdtemp(prefix="model"))
    publish_classifier(str(folder), CARD, {LABELS_FILE: LABELS.to_json().encode(), _NETWORK: b"<net/>"})
    return folder


@functools.cache
def _written() -> Mapping[str, bytes]:
    return {name: (_folder() / name).read_bytes() for name in (CARD_FILE, LABELS_FILE)}


def _texts(chance: Random) -> Folder:
    card = json.loads(_written()[CARD_FILE])
    labels = _labels(chance) if chance.random() < 0.5 else _written()[LABELS_FILE]
    if chance.random() < 0.8:  # As whoever makes a classifier lists its files.
        (listed,) = [file for file in card["files"] if file["name"] == LABELS_FILE]
        listed |= {"size": len(labels), "sha256": hashlib.sha256(labels).hexdigest()}
    elif chance.random() < 0.5:
        del card["files"]  # As in cards that are older than the list.
    changed: Any = card
    for _ in range(chance.choice((0, 1, 1, 2, 4))):
        changed = mutated_json(changed, chance)
    return Folder(_card_text(changed, chance), labels)


def _card_text(values: Any, chance: Random) -> bytes:
    if isinstance(values, dict):
        values = {name: value for name, value in values.items() if name != _CHECKSUM}
        if chance.random() < 0.5:
            values = with_checksum(values, _CHECKSUM)
    text = json_text(values, chance)
    return mutated(text, chance) if text and chance.random() < 0.1 else text


def _labels(chance: Random) -> bytes:
    names = [chance.choice(_CLASSES) for _ in range(chance.choice((0, 1, 2, 2, 3, 5)))]
    kind = chance.choice(("binary", "binary", "multi-class", "multi-label", "ternary"))
    values: Any = {"kind": kind, "classes": sorted(names) if chance.random() < 0.5 else names}
    for _ in range(chance.choice((0, 0, 1, 2))):
        values = mutated_json(values, chance)
    text = json_text(values, chance)
    return mutated(text, chance) if text and chance.random() < 0.1 else text


def check_folder(case: Folder) -> str:
    """A classifier is what its texts say, and its files those that its card lists, or it is refused by a sentence."""
    written = _written()
    labels = written[LABELS_FILE] if case.labels is None else case.labels
    (_folder() / CARD_FILE).write_bytes(written[CARD_FILE] if case.card is None else case.card)
    (_folder() / LABELS_FILE).write_bytes(labels)
    try:
        found = Classifier.open(str(_folder()))
    except ConvbaseError as error:
        return refusal(error)
    _check_card(found.card)
    _check_labels(found.labels)
    assert LabelSet.from_json(labels) == found.labels
    for name, file in found.files.by_name.items():
        try:
            content = found.files.read(name)
        except ConvbaseError as error:
            refusal(error)
        else:
            assert file.sha256 in {"", hashlib.sha256(content).hexdigest()}
    return "opened"


def _check_card(card: ModelCard) -> None:
    """A card is the same once it is written and read again, and its spec has a fingerprint."""
    assert ModelCard.from_json(card.to_json()).to_json() == card.to_json()
    assert len(card.fingerprint) == 16
    assert dataclasses.replace(card).spec.is_resolved


def _check_labels(labels: LabelSet) -> None:
    """Each class has a place of its own."""
    names = pa.array([*labels.classes, None, "none of them"], pa.string())
    if labels.kind == "multi-label":
        lists = pa.array([[name] for name in labels.classes], pa.list_(pa.string()))
        assert np.array_equal(labels.targets(lists), np.eye(len(labels.classes)))
    else:
        assert labels.targets(names).tolist() == [*range(len(labels.classes)), -1, -1]
    scores = labels.scores(np.full((1, labels.outputs), 0.5, np.float32))
    assert scores.shape == (1, len(labels.classes))


KNOWN: Final[Mapping[str, Folder]] = {
    "as it was written": Folder(),
    "no card": Folder(card=b""),
    "lists in lists": Folder(card=b"[" * 100_000),
    "classes in lists": Folder(card=CARD.to_json().encode(), labels=b'{"kind": "binary", "classes": [["a"], ["b"]]}'),
    "labels of another classifier": Folder(labels=b'{"kind": "binary", "classes": ["a", "b"]}'),
    "half of a character": Folder(labels=b'{"kind": "binary", "classes": ["\\ud800", "b"]}'),
}

CARDS: Final = Target(_texts, check_folder, KNOWN)
