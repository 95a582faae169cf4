"""Braces in the names of inputs, as a shell expands them: `shard-{000..099}.tar` is a hundred inputs."""

import re
from collections.abc import Sequence
from typing import Final

from schemas.errors import InvalidInput, shown
from transforms.archives import archive_protocol

_BRACES: Final = re.compile(r"\{([^{}]*)\}")
_RANGE: Final = re.compile(r"(\d+)\.\.(\d+)")
_MOST: Final = 100_000


def expanded(uri: str) -> list[str]:
    """Returns the inputs that one with braces stands for: with ranges in them, or with names of archives.

    >>> expanded("{train,val}-{08..10}.tar")[1:4]
    ['train-09.tar', 'train-10.tar', 'val-08.tar']
    >>> expanded("{a,b}.jpg")
    ['{a,b}.jpg']

    Raises:
        InvalidInput: If there are too many of them.
    """
    inner = [found[1] for found in _BRACES.finditer(uri)]
    if not any(map(_RANGE.fullmatch, inner)) and archive_protocol(uri) is None:
        return [uri]
    found = [""]
    end = 0
    for braces in _BRACES.finditer(uri):
        between = uri[end : braces.start()]
        found = [f"{start}{between}{name}" for start in found for name in _alternatives(braces[1])]
        end = braces.end()
        if len(found) > _MOST:
            raise InvalidInput(f"The input {shown(uri)} stands for more than {_MOST:,} inputs; use a glob.")
    return [f"{start}{uri[end:]}" for start in found]


def _alternatives(inner: str) -> Sequence[str]:
    ends = _RANGE.fullmatch(inner)
    if ends is None:
        return inner.split(",") if "," in inner else [f"{{{inner}}}"]
    first, last = int(ends[1]), int(ends[2])
    width = max(map(len, ends.groups())) if any(end.startswith("0") and end != "0" for end in ends.groups()) else 0
    numbers = range(first, last + 1) if first <= last else range(first, last - 1, -1)
    return [f"{number:0{width}}" for number in numbers[: _MOST + 1]]
