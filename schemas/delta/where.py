"""Conditions on rows as they are written in SQL's `WHERE`, for the options of commands.

    split = 'train' AND (label IN ('cat', 'dog') OR width >= 640) AND note IS NOT NULL

A value is taken for what its column holds: `ds >= '2026-01-31'` compares dates.
"""

import operator
import re
from collections.abc import Callable, Mapping
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from schemas.errors import UsageError, nearest_names, shown

_TOKEN: Final = re.compile(
    r"""\s*(?:(?P<text>'(?:[^']|'')*') | (?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)
    | "(?P<quoted>(?:[^"]|"")*)" | (?P<word>\w+) | (?P<sign><=|>=|<>|!=|==|=|<|>|\(|\)|,))""",
    re.VERBOSE,
)
_COMPARISONS: Final[Mapping[str, Callable[[pc.Expression, pa.Scalar], pc.Expression]]] = {
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_EXAMPLE: Final = "split = 'train' AND width >= 640"
_END: Final = ("end", "")


def parse_where(text: str, schema: pa.Schema, option: str = "--where") -> pc.Expression:
    """Reads a condition.

    Args:
        text: Comparisons, `IN`, `LIKE` and `IS NULL`, joined by `AND`, `OR`, `NOT` and parentheses.
        schema: The columns that it may name.
        option: Where it was given, for errors.

    Returns:
        What scans take for `where`.

    Raises:
        UsageError: If it is no such condition, or names a column that is not there.
    """
    parser = _Parser(text, schema, option)
    condition = parser.either()
    parser.expect("end", "")
    return condition


class _Parser:
    """Reads a condition from its beginning; each method what its name says, and the tokens that belong to it."""

    def __init__(self, text: str, schema: pa.Schema, option: str) -> None:
        self._text = text
        self._option = option
        self._schema = schema
        self._tokens = self._split()
        self._next = 0

    def either(self) -> pc.Expression:
        found = self._both()
        while self._take("word", "or"):
            found = found | self._both()
        return found

    def expect(self, kind: str, text: str) -> None:
        if not self._take(kind, text):
            raise self._error(
                f"'{shown(self._token[1])}' stands where it cannot" if self._token[1] else "it ends early"
            )

    def _both(self) -> pc.Expression:
        found = self._one()
        while self._take("word", "and"):
            found = found & self._one()
        return found

    def _one(self) -> pc.Expression:
        if self._take("word", "not"):
            return ~self._one()
        if self._take("sign", "("):
            found = self.either()
            self.expect("sign", ")")
            return found
        return self._comparison()

    def _comparison(self) -> pc.Expression:
        field = self._column()
        column = pc.field(field.name)
        for sign, compare in _COMPARISONS.items():
            if self._take("sign", sign):
                return compare(column, self._value(field))
        if self._take("word", "is"):
            negated = self._take("word", "not")
            self.expect("word", "null")
            return column.is_valid() if negated else column.is_null()
        negated = self._take("word", "not")
        found = self._membership(field, column)
        return ~found if negated else found

    def _membership(self, field: pa.Field, column: pc.Expression) -> pc.Expression:
        if self._take("word", "like"):
            if not pa.types.is_string(field.type):
                raise self._error(f"the column '{field.name}' holds no text for LIKE")
            return pc.match_like(column, self._value(field).as_py())
        self.expect("word", "in")
        self.expect("sign", "(")
        values = [self._value(field)]
        while self._take("sign", ","):
            values.append(self._value(field))
        self.expect("sign", ")")
        return column.isin(pa.array([value.as_py() for value in values], field.type))

    def _column(self) -> pa.Field:
        kind, name = self._token
        if kind not in {"word", "quoted"}:
            raise self._error(f"'{shown(name)}' is no column" if name else "it ends early")
        if name not in self._schema.names:
            raise UsageError(f"The table has no column '{shown(name)}'{nearest_names(name, self._schema.names) or '.'}")
        field = self._schema.field(name)
        if pa.types.is_nested(field.type):
            raise self._error(f"the column '{name}' holds lists, which are not compared")
        self._next += 1
        return field

    def _value(self, field: pa.Field) -> pa.Scalar:
        kind, text = self._token
        if kind == "text":
            value: object = text[1:-1].replace("''", "'")
        elif kind == "number":
            value = float(text) if re.search("[.eE]", text) else int(text)
        elif kind == "word" and text.lower() in {"true", "false"}:
            value = text.lower() == "true"
        else:
            raise self._error(f"'{shown(text)}' is no value; texts stand in single quotes" if text else "it ends early")
        try:
            scalar = pa.scalar(value).cast(field.type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise self._error(
                f"the column '{field.name}' ({field.type}) cannot be compared with {shown(text)}"
            ) from error
        self._next += 1
        return scalar

    @property
    def _token(self) -> tuple[str, str]:
        return self._tokens[self._next]

    def _take(self, kind: str, text: str) -> bool:
        taken = self._token[0] == kind and self._token[1].lower() == text
        self._next += taken
        return taken

    def _split(self) -> list[tuple[str, str]]:
        tokens, place, text = [], 0, self._text.rstrip()
        while place < len(text):
            match = _TOKEN.match(text, place)
            if match is None or match.lastgroup is None:
                raise self._error(f"'{shown(text[place:].strip())}' cannot be read")
            found = match[match.lastgroup]
            tokens.append((match.lastgroup, found.replace('""', '"') if match.lastgroup == "quoted" else found))
            place = match.end()
        return [*tokens, _END]

    def _error(self, what: str) -> UsageError:
        return UsageError(f'{self._option}="{shown(self._text)}" is no condition such as {_EXAMPLE}: {what}.')
