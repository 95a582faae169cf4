"""Dataclasses as JSON and back: one way for specs, model cards, receipts, and what commits and runs hold."""

import dataclasses
import enum
import hashlib
import json
import types
import typing
from collections.abc import Mapping
from typing import Any, ClassVar, Self


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
            ValueError: If a field is missing, one is unknown, or one has a value of another kind.
        """
        known = {field.name: _has_default(field) for field in dataclasses.fields(cls)}
        wrong = [name for name, optional in known.items() if name not in values and not optional]
        wrong += [name for name in values if name not in known]
        if wrong:
            raise ValueError(f"This is no {cls.__name__}: fields are missing or unknown: {', '.join(wrong)}.")
        kinds = typing.get_type_hints(cls)
        try:
            return cls(**{name: _typed(kinds[name], value) for name, value in values.items()})
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"This is no {cls.__name__}: {error}.") from error

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Reads what `to_json` returned.

        Raises:
            ValueError: If the text is cut off or no such JSON.
        """
        values = json.loads(text)
        if not isinstance(values, dict):
            raise ValueError(f"This is no {cls.__name__}: the JSON is no object.")
        return cls.from_dict(values)


def with_checksum(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Returns JSON values with a SHA-256 of them under a further name."""
    return {**values, name: _checksum(values)}


def without_checksum(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Returns the values that `with_checksum` was given; without a checksum, as from before there was one, as they are.

    Raises:
        ValueError: If the checksum is that of other values.
    """
    rest = {key: value for key, value in values.items() if key != name}
    if values.get(name) not in {None, _checksum(rest)}:
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


def _typed(kind: Any, value: Any) -> Any:
    """Returns a JSON value as a field of a type has it."""
    if value is None:
        return None
    if isinstance(kind, types.UnionType):  # `X | None`
        kind = next(option for option in kind.__args__ if option is not types.NoneType)
    if typing.get_origin(kind) is tuple:
        if not isinstance(value, list | tuple):
            raise TypeError(f"{value!r} is no list")
        inner = typing.get_args(kind)
        inner = inner[:1] * len(value) if inner[-1] is ... else inner
        return tuple(_typed(each, item) for each, item in zip(inner, value, strict=True))
    if not isinstance(kind, type):
        return value
    if issubclass(kind, Serialisable):
        return kind.from_dict(value)
    return kind(value) if issubclass(kind, enum.Enum) else value


def _has_default(field: "dataclasses.Field[Any]") -> bool:
    return field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
