"""What holds of the JSON of a spec, and of a classifier's folder, whoever has written it."""

import functools
import hashlib
import json
import tempfile
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

from schemas.classifiers import CARD_FILE, LABELS_FILE, Classifier, ModelCard
from schemas.errors import ConvbaseError, UsageError
from schemas.spec import FeatureSpec
from tests.fuzz.mutations import json_text, mutated, mutated_json
from tests.fuzz.target import Target, refusal
from tests.support.fragments import SPEC
from tests.unit.schemas.test_serialisation import CARD, LABELS


class Folder(NamedTuple):
    """A classifier's card and labels."""

    card: bytes
    labels: bytes


def _folder_case(chance: Random) -> Folder:
    labels = LABELS.to_json().encode()
    if chance.random() < 0.3:
        labels = _text(json.loads(labels), chance)
    listed = {"name": LABELS_FILE, "path": LABELS_FILE, "size": len(labels), "sha256": _sha256(labels)}
    values = {**json.loads(CARD.to_json()), "files": [listed]}
    del values["card_sha256"]
    if chance.random() < 0.8:
        values = mutated_json(mutated_json(values, chance) if chance.random() < 0.3 else values, chance)
    if isinstance(values, dict) and chance.random() < 0.9:
        values["card_sha256"] = _sha256(json.dumps(values, sort_keys=True).encode())
    return Folder(json_text(values, chance) if chance.random() < 0.2 else json.dumps(values).encode(), labels)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _text(value: object, chance: Random) -> bytes:
    content = json_text(mutated_json(value, chance), chance)
    return mutated(content, chance) if content and chance.random() < 0.1 else content


@functools.cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="classifier"))


def check_folder(case: Folder) -> str:
    """A classifier is opened, and is what its card says when it is written again, or it is refused by a sentence."""
    (_folder() / CARD_FILE).write_bytes(case.card)
    (_folder() / LABELS_FILE).write_bytes(case.labels)
    try:
        found = Classifier.open(str(_folder()))
    except ConvbaseError as error:
        return refusal(error)
    assert ModelCard.from_json(found.card.to_json()) == found.card or "NaN" in found.card.to_json()
    assert found.labels.outputs > 0
    return "opened"


def _spec_text(chance: Random) -> bytes:
    return _text(json.loads(SPEC.to_json()), chance)


def check_spec(content: bytes) -> str:
    """A spec is read, and is the same when it is written again, or it is refused by a sentence."""
    try:
        spec = FeatureSpec.from_json(content)
    except (ValueError, UsageError) as error:
        return refusal(error)
    assert FeatureSpec.from_json(spec.to_json()) == spec
    assert not spec.is_resolved or (len(spec.fingerprint) == 16 and len(spec.shape_by_layer) == len(spec.layers))
    return "read"


CLASSIFIERS: Final = Target(_folder_case, check_folder, {})
SPECS: Final = Target(_spec_text, check_spec, {})
