"""Mutations: pure functions from bytes, parts of a file, or JSON values, and chance, to others."""

import copy
import json
import struct
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final, NamedTuple

# At these, and beside them, fields overflow.
_EDGES: Final = (0, 1, 2, 3, 7, 8, 16, 255, 256, 2**15, 2**16, 2**24, 2**31, 2**32, 2**63, 2**64)
_NUMBERS: Final = tuple(struct.Struct(f"{order}{kind}") for order in "<>" for kind in "BHIQ")
_MOST_COPIES: Final = 150
_MOST_BYTES: Final = 200_000

Mutation = Callable[[bytes, Random], bytes]


class Part(NamedTuple):
    """A part of a file: a segment, a chunk, a tag, a member.

    Attributes:
        kind: What it is, as the file writes it; empty for what has no name.
        content: Its bytes, without length and checksum.
    """

    kind: bytes
    content: bytes


def edge(chance: Random) -> int:
    """Returns a number at which something may overflow."""
    return chance.choice(_EDGES) + chance.choice((-1, 0, 0, 1))


def _range(data: bytes, chance: Random) -> tuple[int, int]:
    start = chance.randrange(len(data) + 1)
    return start, min(len(data), start + chance.choice((1, 1, 2, 4, 8, 32, len(data))))


def _flip(data: bytes, chance: Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 3, 10))):
        changed[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _number(data: bytes, chance: Random) -> bytes:
    form = chance.choice(_NUMBERS)
    at = chance.randrange(len(data))
    value = edge(chance) % 256**form.size
    return data[:at] + form.pack(value) + data[at + form.size :]


def _fill(data: bytes, chance: Random) -> bytes:
    start, end = _range(data, chance)
    return data[:start] + chance.choice((b"\0", b"\xff", chance.randbytes(1))) * (end - start) + data[end:]


def _noise(data: bytes, chance: Random) -> bytes:
    start, end = _range(data, chance)
    return data[:start] + chance.randbytes(end - start) + data[end:]


def _insert(data: bytes, chance: Random) -> bytes:
    at = chance.randrange(len(data) + 1)
    return data[:at] + chance.randbytes(chance.choice((1, 2, 4, 16, 300))) + data[at:]


def _delete(data: bytes, chance: Random) -> bytes:
    start, end = _range(data, chance)
    return data[:start] + data[end:]


def _cut(data: bytes, chance: Random) -> bytes:
    return data[: chance.randrange(len(data))]


def _repeat(data: bytes, chance: Random) -> bytes:
    start, end = _range(data, chance)
    return data[:end] + data[start:end] * chance.choice((1, 1, 2, _MOST_COPIES)) + data[end:]


def _copy(data: bytes, chance: Random) -> bytes:
    start, end = _range(data, chance)
    at = chance.randrange(len(data))
    return data[:at] + data[start:end] + data[at + end - start :]


_BYTES: Final[Sequence[Mutation]] = (_flip, _number, _number, _fill, _noise, _insert, _delete, _cut, _repeat, _copy)


def mutated(data: bytes, chance: Random, tokens: Sequence[bytes] = ()) -> bytes:
    """Returns bytes after one mutation.

    Args:
        data: The bytes.
        chance: Decides which.
        tokens: What means something in data of its kind, and is put in here and there.
    """
    if tokens and chance.random() < 0.5:
        start, end = _range(data, chance)
        return data[:start] + chance.choice(tokens) + data[end if chance.random() < 0.5 else start :]
    return chance.choice(_BYTES)(data, chance)[:_MOST_BYTES] if data else chance.randbytes(chance.randrange(8))


def mutated_parts(
    parts: Sequence[Part], donors: Sequence[Part], chance: Random, change: Callable[[Part, Random], bytes]
) -> list[Part]:
    """Returns the parts of a file after one mutation.

    Args:
        parts: The parts.
        donors: Parts of another file of the same format.
        chance: Decides which.
        change: Mutates the content of a part.
    """
    found = list(parts) or [chance.choice(donors)]
    at = chance.randrange(len(found))
    part, donor = found[at], chance.choice(donors)
    match chance.randrange(12):
        case 0:
            del found[at]
        case 1:
            found[at:at] = [part] * chance.choice((1, 1, 2, _MOST_COPIES))
        case 2:
            other = chance.randrange(len(found))
            found[at], found[other] = found[other], part
        case 3:
            found.insert(at, donor)
        case 4:
            found[at] = Part(donor.kind, part.content)
        case 5:
            found[at] = Part(part.kind, donor.content)
        case _:
            found[at] = Part(part.kind, change(part, chance))
    return found


_DEEP: Final = 100_000
_ODD_VALUES: Final = (
    None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63), 2**64, 10**400, 0.5, 1e308, float("inf"), float("nan"), "",
    " ", "0", "null", "../../escaped", "/etc/hostname", "file:///etc/hostname", "a\0b", "\ud800", "\u202e", "\x1b[2J",
    "a\nb", "x" * 5000, [], {}, [None], [[]], [0] * 300, {"": None}, {"a": {"a": {"a": []}}},
)  # fmt: skip


def mutated_json(value: Any, chance: Random) -> Any:
    """Returns a JSON value after one mutation, somewhere in it."""
    whole = [copy.deepcopy(value)]
    holder: Any = whole
    key: Any = 0
    while isinstance(holder[key], dict | list) and holder[key] and chance.random() < 0.8:
        holder = holder[key]
        key = chance.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
    match chance.randrange(8):
        case 0:
            del holder[key]
        case 1 if isinstance(holder, dict):
            holder[chance.choice(("", "\ud800", "unknown", str(key).upper(), f" {key} "))] = holder.pop(key)
        case 2:
            holder[key] = chance.choice((lambda old: [old], lambda old: {"a": old}, str, repr))(holder[key])
        case 3 if isinstance(holder[key], str):
            text = holder[key].encode("utf-8", "surrogatepass")
            holder[key] = mutated(text, chance).decode("utf-8", "replace")
        case 4 if isinstance(holder[key], int):
            holder[key] = chance.choice((1, -1)) * edge(chance)
        case _:
            holder[key] = copy.deepcopy(chance.choice(_ODD_VALUES))
    return whole[0] if whole else None


def json_text(value: Any, chance: Random) -> bytes:
    """Writes a JSON value; now and then as text that no writer of JSON would write."""
    text = json.dumps(value, ensure_ascii=chance.random() < 0.5).encode("utf-8", "surrogatepass")
    if chance.random() < 0.02:
        return chance.choice((b"[", b'{"a":', b"[1,")) * _DEEP + text
    return mutated(text, chance) if text and chance.random() < 0.2 else text
