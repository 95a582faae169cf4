"""What a folder holds already: a store, predictions, a classifier and a page need a folder each.

Their files have names in common, and upkeep of one would find those of another.
"""

from typing import Final

from schemas.classifiers import holds_classifier
from schemas.delta import holds_table
from schemas.errors import UsageError, shown
from schemas.fragments import TableName
from schemas.storage import canonical_uri, join, refused_if_not_writable

STORE: Final = "a feature store"
PREDICTIONS: Final = "predictions"
CLASSIFIER: Final = "a classifier"
PAGE: Final = "an exploration"

_OWN: Final = {PREDICTIONS: "need a folder of their own"}
_TABLES: Final = {TableName.FEATURES: STORE, TableName.PREDICTIONS: PREDICTIONS}


def check_output_folder(uri: str, what: str) -> None:
    """Checks that a folder that is to be written holds nothing of another kind.

    Args:
        uri: The folder, which may be missing.
        what: What is to be written: `STORE`, `PREDICTIONS`, `CLASSIFIER` or `PAGE`.

    Raises:
        UsageError: If it does, or its storage does not say.
    """
    refusal = f"{what} {_OWN.get(what, 'needs a folder of its own')}."
    with refused_if_not_writable(f"The folder {shown(uri)}"):
        for name, held in _TABLES.items():
            if held != what and holds_table(join(canonical_uri(uri), name)):
                raise UsageError(f"The folder {shown(uri)} holds {held}; {refusal}")
        if what != CLASSIFIER and holds_classifier(canonical_uri(uri)):
            raise UsageError(f"The folder {shown(uri)} holds {CLASSIFIER}; {refusal}")
