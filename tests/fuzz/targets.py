"""The targets by their names."""

from collections.abc import Mapping
from typing import Any, Final

from tests.fuzz.archives import ARCHIVES
from tests.fuzz.cards import CARDS
from tests.fuzz.decoding import DECODER_PROCESSES, DECODING
from tests.fuzz.logs import LOGS
from tests.fuzz.manifests import MANIFESTS
from tests.fuzz.onnx import ONNX
from tests.fuzz.receipts import RECEIPTS
from tests.fuzz.specs import SPECS
from tests.fuzz.target import Target
from tests.fuzz.uris import URIS

TARGETS: Final[Mapping[str, Target[Any]]] = {
    "decoding": DECODING,
    "decoder_processes": DECODER_PROCESSES,
    "manifests": MANIFESTS,
    "uris": URIS,
    "archives": ARCHIVES,
    "logs": LOGS,
    "receipts": RECEIPTS,
    "cards": CARDS,
    "specs": SPECS,
    "onnx": ONNX,
}
