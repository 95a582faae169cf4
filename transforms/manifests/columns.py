"""The columns of a manifest: which have a meaning, which are carried along, and as what."""

import collections
import dataclasses
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.annotations import LABELS
from schemas.errors import InvalidInput, nearest_names, shown, shown_names

URI: Final = "uri"
_LABEL: Final = "label"

# The columns of a manifest that have a meaning of their own.
REF_COLUMNS: Final = (URI, "version", "label", "split")

# What a table of images may have, by far.
MOST_COLUMNS: Final = 5_000
MOST_NAME_CHARACTERS: Final = 1_000
_DEEPEST_LIST: Final = 8

_LEAVE_OUT: Final = "--carry=NAME,… names those that are carried along, --carry=none leaves all out"


@dataclasses.dataclass(frozen=True)
class ManifestOptions:
    """How manifests are read.

    Attributes:
        uri_column: The column of the URIs.
        label_column: The column of the labels; `label`, where there is one, unless it is named.
        split_column: The column of the splits; `split`, where there is one, unless it is named.
        uri_prefix: Is put before each URI.
        uri_suffix: Is put behind each URI.
        carry: The further columns that are carried along; all of them if None.
        encoding: That of texts; by their byte order mark, else UTF-8, if None.
    """

    uri_column: str = URI
    label_column: str | None = None
    split_column: str | None = None
    uri_prefix: str = ""
    uri_suffix: str = ""
    carry: tuple[str, ...] | None = None
    encoding: str | None = None


@dataclasses.dataclass(frozen=True)
class Column:
    """A column that is read.

    Attributes:
        source: Its name in the manifest.
        name: Its name from there on.
        type: The type of its values from there on.
    """

    source: str
    name: str
    type: pa.DataType

    @property
    def is_carried(self) -> bool:
        """Whether it is carried along, and has no meaning of its own."""
        return self.name not in REF_COLUMNS


def choose_columns(uri: str, fields: Sequence[pa.Field], options: ManifestOptions) -> tuple[Column, ...]:
    """Returns the columns of a manifest that are read; one without a name, or without any value, is left out.

    Args:
        uri: The manifest.
        fields: Its columns, as it has them. Blanks around their names go.
        options: Which of them are wanted, and as what.

    Raises:
        InvalidInput: If it lacks a column that is wanted, has one twice, or one that cannot be carried along.
    """
    refuse_too_much(uri, [field.name for field in fields])
    named = [(field.name.strip(), field) for field in fields if field.name.strip()]
    meanings = _meanings(uri, [name for name, _ in named], options)
    columns = [_column(meanings.get(name, name), field) for name, field in named if _is_wanted(name, meanings, options)]
    _refuse_repeats(uri, [column.name for column in columns])
    _refuse_types(uri, columns, {field.name: field.type for field in fields})
    return tuple(column for column in columns if not pa.types.is_null(column.type))


def refuse_too_much(uri: str, names: Collection[str]) -> None:
    """Refuses tables with more columns, or longer names, than any table of images has.

    Raises:
        InvalidInput: If it is one.
    """
    if len(names) > MOST_COLUMNS:
        raise InvalidInput(f"The manifest {shown(uri)} has more than {MOST_COLUMNS:,} columns, which are the most.")
    longest = max(names, key=len, default="")
    if len(longest) > MOST_NAME_CHARACTERS:
        raise InvalidInput(
            f"The manifest {shown(uri)} has a column whose name has {len(longest):,} characters, {shown(longest, 40)}; "
            f"{MOST_NAME_CHARACTERS:,} are the most."
        )


def named_columns(uri: str, fields: Sequence[pa.Field], names: Sequence[str]) -> tuple[Column, ...]:
    """Returns columns of a manifest as they are; blanks around their names go.

    Raises:
        InvalidInput: If it lacks one, or has one twice.
    """
    found = [(field.name.strip(), field) for field in fields]
    for name in names:
        if name not in dict(found):
            others = shown_names(other for other, _ in found if other)
            nearest = nearest_names(name, dict(found)) or "."
            raise InvalidInput(f"The file {shown(uri)} has no column '{name}' (its columns: {others}){nearest}")
        if [other for other, _ in found].count(name) > 1:
            raise InvalidInput(f"The file {shown(uri)} has the column '{name}' several times; rename all but one.")
    return tuple(Column(field.name, name, field.type) for name, field in found if name in names)


def _meanings(uri: str, names: Sequence[str], options: ManifestOptions) -> dict[str, str]:
    """Returns the columns that have a meaning, by their names in the manifest."""
    given = {URI: options.uri_column, "label": options.label_column, "split": options.split_column}
    for meaning, name in given.items():
        if name is not None and name not in names:
            raise InvalidInput(_missing_column(uri, meaning, name, names))
    sources = {meaning: given.get(meaning) or meaning for meaning in REF_COLUMNS}
    if len(set(sources.values())) < len(sources):
        raise InvalidInput("--uri_column, --label_column and --split_column have to name different columns.")
    return {source: meaning for meaning, source in sources.items()}


def _missing_column(uri: str, meaning: str, name: str, names: Sequence[str]) -> str:
    found = shown_names(names) or "none"
    nearest = nearest_names(name, names).rstrip("?")
    option = f"--{meaning}_column=NAME says which one holds the {'URIs' if meaning == URI else f'{meaning}s'}"
    return f"The manifest {shown(uri)} has no column '{name}' (its columns: {found}){nearest}; {option}."


def _is_wanted(name: str, meanings: dict[str, str], options: ManifestOptions) -> bool:
    if name in meanings:
        return True
    # A column whose meaning another one has taken is none of its name.
    return name not in REF_COLUMNS and (options.carry is None or name in options.carry)


def _refuse_repeats(uri: str, names: Iterable[str]) -> None:
    """Refuses names that are the same, or that a Delta table takes for the same."""
    by_folded = collections.defaultdict(list)
    for name in names:
        by_folded[name.casefold()].append(name)
    for folded, alike in by_folded.items():
        if len(alike) > len(set(alike)):
            raise InvalidInput(
                f"The manifest {shown(uri)} has the column '{alike[0]}' several times; rename all but one."
            )
        meaning = folded if folded in REF_COLUMNS else None
        if len(alike) > 1 or (meaning and alike != [meaning]):
            raise InvalidInput(_told_apart_by_case(uri, meaning, alike))


def _told_apart_by_case(uri: str, meaning: str | None, alike: Sequence[str]) -> str:
    others = [name for name in alike if name != meaning]
    option = "" if meaning in {None, "version"} else f"--{meaning}_column={others[0]} says so; else "
    question = f"did you mean '{meaning}'? {option}" if meaning else ""
    columns = f"the column{'s' if len(others) > 1 else ''} {shown_names(others)}"
    return (
        f"The manifest {shown(uri)} has {columns}, which a table cannot tell from {meaning or 'one another'}; "
        f"{question}rename what is something else, or leave it out with --carry."
    )


def _column(meaning: str, field: pa.Field) -> Column:
    """Returns a column as it is read; its type is None if it cannot be. Lists of labels have a column of their own."""
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    if meaning not in REF_COLUMNS:
        return Column(field.name, meaning, _storable(kind))
    if meaning == _LABEL and is_list(kind) and not pa.types.is_nested(kind.value_type):
        return Column(field.name, LABELS, pa.list_(pa.field("element", pa.string())))
    return Column(field.name, meaning, None if pa.types.is_nested(kind) else pa.string())


_TEXTS: Final = (
    pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_uint64, pa.types.is_decimal,
    pa.types.is_time,
)  # fmt: skip
_LISTS: Final = (
    pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list, pa.types.is_list_view,
    pa.types.is_large_list_view,
)  # fmt: skip


# What holds the values of a kind; the first that fits.
_WIDER: Final = (
    (_TEXTS, pa.string()),
    ((pa.types.is_null,), pa.null()),
    ((pa.types.is_boolean,), pa.bool_()),
    ((pa.types.is_date,), pa.date32()),
    ((pa.types.is_timestamp,), pa.timestamp("us", tz="UTC")),
    ((pa.types.is_integer,), pa.int64()),
    ((pa.types.is_floating,), pa.float64()),
)


def is_list(kind: pa.DataType) -> bool:
    """Whether the values of a type are lists, of any kind."""
    return any(is_such_a_list(kind) for is_such_a_list in _LISTS)


def _storable(kind: pa.DataType, depth: int = 0) -> pa.DataType | None:
    """Returns the type that a Delta table gives to a column: the same or a wider one; None if there is none."""
    if depth > _DEEPEST_LIST:
        return None
    if pa.types.is_dictionary(kind):
        return _storable(kind.value_type, depth + 1)
    if is_list(kind):
        element = _storable(kind.value_type, depth + 1)
        is_empty = element is None or pa.types.is_null(element)
        return element if is_empty else pa.list_(pa.field("element", element))
    return next((wider for kinds, wider in _WIDER if any(is_kind(kind) for is_kind in kinds)), None)


def _refuse_types(uri: str, columns: Sequence[Column], kinds: dict[str, pa.DataType]) -> None:
    bad = [column for column in columns if column.type is None]
    if bad:
        named = [(column.name, kinds[column.source]) for column in bad[:4]]
        described = ", ".join(f"'{shown(name, 24)}' ({shown(str(kind), 24)})" for name, kind in named)
        described += f" and {len(bad) - 4} more" if len(bad) > 4 else ""
        is_carried = any(column.is_carried for column in bad)
        remedy = _LEAVE_OUT if is_carried else _name_another([column.name for column in bad])
        raise InvalidInput(
            f"The manifest {shown(uri)} has columns of types that a table cannot hold: {described}; {remedy}."
        )


def _name_another(bad: Sequence[str]) -> str:
    options = [f"--{name}_column" for name in bad if name != "version"]
    return f"{' and '.join(options)} can name another one" if options else "leave it out"


def cast_to(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """Returns values of a manifest as the type that `choose_columns` gave to their column.

    Nanoseconds are cut to microseconds.
    """
    if values.type == kind:
        return values
    if pa.types.is_dictionary(values.type):
        return cast_to(values.dictionary_decode(), kind)
    if pa.types.is_time(values.type) or pa.types.is_decimal(values.type):
        return pa.array([None if value is None else str(value) for value in values.to_pylist()], kind)
    return pc.cast(values, kind, safe=not pa.types.is_timestamp(kind))


def with_items(lists: pa.Array, items: pa.Array) -> pa.Array:
    """Returns lists of the same lengths, null where they were, with other items."""
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
    kind = pa.list_(lists.type.value_field.with_type(items.type))
    return pa.ListArray.from_arrays(offsets, items, kind, mask=pc.is_null(lists))


def carried_fields_of(columns: Iterable[Column]) -> Iterator[pa.Field]:
    """Yields the fields of the columns that are carried along, with the types that the store gives them."""
    return (pa.field(column.name, column.type) for column in columns if column.is_carried)
