"""What holds of ONNX files: no file is read for one that does not lie beside it."""

import functools
from collections.abc import Mapping
from random import Random
from typing import Final

from tests.fuzz.mutations import mutated
from tests.fuzz.target import Target, refusal
from tests.support.onnx_files import SmallResNet, field
from transforms.origins.onnx_files import files_beside

_NAMES: Final = ("weights.bin", "../x", "/etc/passwd", "a/b", "weights\\..\\x", "")


@functools.cache
def _whole(name: str) -> bytes:
    return SmallResNet.random(classes=2).onnx(location=name)


def _file(chance: Random) -> bytes:
    content = _whole(chance.choice(_NAMES))
    start = max(content.find(b"location"), 0)  # Where the weights are, or said to be.
    part = slice(start, start + chance.choice((20, 400, 10_000)))
    return content[: part.start] + mutated(content[part], chance) + content[part.stop :]


def check_file(content: bytes) -> str:
    """Names of files beside it are found, or it is refused by a sentence."""
    try:
        names = files_beside(content)
    except ValueError as error:
        return refusal(error)
    assert all(name and "/" not in name and "\\" not in name and name not in {".", ".."} for name in names)
    return f"{len(names)} files"


KNOWN: Final[Mapping[str, bytes]] = {
    "nothing": b"",
    "a length beyond the file": b"\x3a\xff\xff\xff\xff\x0f",
    "weights above the folder": _whole("../x"),
    "a graph in a graph": functools.reduce(lambda inner, _: field(1, field(5, field(6, inner))), range(2000), b""),
}

ONNX: Final = Target(_file, check_file, KNOWN)
