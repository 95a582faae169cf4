"""Dataclasses as JSON and back: one way for specs, model cards, receipts, and what commits and runs hold.

What is read may come from anybody: a value that its field does not have is refused, whatever it is.
"""

import dataclasses
import enum
import hashlib
import json
import types
import typing
from collections.abc import Mapping
from typing import Any, ClassVar, Final, Self

from schemas.errors import shown, shown_names

# A card of a hundred thousand classes has 10 MB; parsing takes some twenty times the bytes.
MOST_JSON_BYTES: Final = 2**24
_DEEPEST: Final = 32
_LONG: Final = range(-(2**63), 2**63)


class Serialisable:
    """The JSON of a dataclass: tuples are lists in it, enumerations their values.

    It is one line with sorted fields. `class Card(Serialisable, indent=2)` is indented for people instead, its fields
    in the order of their declaration.

    A field with a default may be missing, as in files that are older than the field.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]
    _indent: ClassVar[int | None]

    def __init_subclass__(cls, *, indent: int | None = None) -> None:
        super().__init_subclass__()
        cls._indent = indent

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as JSON values."""
        return {field.name: _json_value(getattr(self, field.name)) for field in dataclasses.fields(self)}

    def to_json(self) -> str:
        """Returns the fields as JSON."""
        return json.dumps(self.to_dict(), indent=self._indent, sort_keys=self._indent is None)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Reads what `to_dict` returned.

        Raises:
            ValueError: If a field is missing, one is unknown, or one has a value of another type.
        """
        known = {field.name: _has_default(field) for field in dataclasses.fields(cls)}
        wrong = [name for name, optional in known.items() if name not in values and not optional]
        wrong += [name for name in values if name not in known]
        if wrong:
            raise ValueError(f"This is no {cls.__name__}: fields are missing or unknown: {shown_names(wrong)}.")
        kinds = typing.get_type_hints(cls)
        fields = {}
        for name, value in values.items():
            try:
                fields[name] = _typed(kinds[name], value)
            except _OtherType as error:
                raise ValueError(f"This is no {cls.__name__}: {name} is {error}.") from error
        return cls(**fields)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Reads what `to_json` returned.

        Raises:
            ValueError: If the text is cut off or no such JSON, larger than `MOST_JSON_BYTES`, or nested too deeply.
        """
        try:
            values = json_object(text)
        except ValueError as error:
            raise ValueError(f"This is no {cls.__name__}: {error}.") from error
        return cls.from_dict(values)


def json_object(text: str | bytes) -> dict[str, Any]:
    """Reads a JSON object that may come from anybody.

    Raises:
        ValueError: If it is none, is larger than `MOST_JSON_BYTES`, or is nested too deeply.
    """
    if len(text) > MOST_JSON_BYTES:
        raise ValueError(f"it has more than {MOST_JSON_BYTES:,} bytes")
    try:
        values = json.loads(text)
    except RecursionError as error:
        raise ValueError("the JSON is nested too deeply") from error
    if not isinstance(values, dict):
        raise ValueError("the JSON is no object")
    return values


def is_unicode(text: str) -> bool:
    r"""Whether a text can be written as UTF-8; JSON can name half of a character (`\ud800`), which no table holds."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def with_checksum(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Returns JSON values with a SHA-256 of them under a further name."""
    return {**values, name: _checksum(values)}


def without_checksum(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Returns the values that `with_checksum` was given; without a checksum, as from before there was one, as they are.

    Raises:
        ValueError: If the checksum is that of other values.
    """
    rest = {key: value for key, value in values.items() if key != name}
    try:
        is_right = values.get(name) is None or values[name] == _checksum(rest)
    except RecursionError as error:
        raise ValueError("It is nested too deeply.") from error
    if not is_right:
        raise ValueError("Its SHA-256 differs.")
    return rest


def _checksum(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _json_value(value: Any) -> Any:
    if isinstance(value, Serialisable):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {key: _json_value(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_json_value(item) for item in value]
    return value.value if isinstance(value, enum.Enum) else value


class _OtherType(ValueError):
    """A JSON value is none of its field; says what it is."""

    def __init__(self, value: Any) -> None:
        is_nested = isinstance(value, dict | list)
        super().__init__(f"a{'n object' if isinstance(value, dict) else ' list'}" if is_nested else shown(repr(value)))


def _typed(kind: Any, value: Any) -> Any:
    """Returns a JSON value as a field of a type has it.

    Raises:
        ValueError: If it is none of that type.
    """
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return _not_too_deep(value)
    if origin in {types.UnionType, typing.Union}:
        return _typed_as_one_of(inner, value)
    if origin is tuple:
        kinds = inner[:1] * len(_of(list | tuple, value)) if inner[-1] is ... else inner
        if len(kinds) != len(_of(list | tuple, value)):
            raise _OtherType(value)
        return tuple(_typed(each, item) for each, item in zip(kinds, value, strict=True))
    if origin is not None:  # `Mapping[str, X]`
        return {key: _typed(inner[1], item) for key, item in _of(Mapping, value).items()}
    return _typed_as_one(kind, value)


def _typed_as_one(kind: type, value: Any) -> Any:
    if issubclass(kind, Serialisable):
        return kind.from_dict(_of(Mapping, value))
    if issubclass(kind, enum.Enum):
        if not isinstance(value, str | int) or value not in {each.value for each in kind}:
            raise _OtherType(value)
        return kind(value)
    found = _of((int, float) if kind is float else kind, value, or_bool=kind is bool)
    if type(found) is int and found not in _LONG:
        raise _OtherType(value)
    return found


def _typed_as_one_of(kinds: tuple[Any, ...], value: Any) -> Any:
    if value is None and types.NoneType in kinds:
        return None
    *others, last = [kind for kind in kinds if kind is not types.NoneType]
    for kind in others:
        try:
            return _typed(kind, value)
        except _OtherType:
            continue
    return _typed(last, value)


def _of(kind: Any, value: Any, *, or_bool: bool = False) -> Any:
    """Returns a value of a type; True and False are no numbers."""
    if not isinstance(value, kind) or (isinstance(value, bool) and not or_bool):
        raise _OtherType(value)
    return value


def _not_too_deep(value: Any, depth: int = 0) -> Any:
    if depth > _DEEPEST:
        raise _OtherType(value)
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            _not_too_deep(item, depth + 1)
    return value


def _has_default(field: "dataclasses.Field[Any]") -> bool:
    return field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
