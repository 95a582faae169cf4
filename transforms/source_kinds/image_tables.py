"""Parquet files with a column of images, as Hugging Face's `datasets` writes them: a row is an image, with its label.

    data/train-00000-of-00003.parquet       image: struct<bytes, path>, label: int64, and what else there is

Names of classes are those of the file's metadata. The bytes stay where they are: a ref names the cell.
"""

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.annotations import annotation_names
from schemas.classifiers import SPELLINGS
from schemas.errors import InvalidInput, shown
from schemas.images import PLACE, PROBLEM, REFS_PER_BATCH
from schemas.storage import MemberUri, open_parquet, without_query
from transforms.archives import (
    PATH,
    ArchiveFile,
    Cell,
    cell_name,
    features_of,
    has_bytes,
    holds_paths,
    image_column,
    image_lists,
)
from transforms.folders import IgnoredFiles
from transforms.manifests import (
    REF_COLUMNS,
    URI,
    Column,
    Manifest,
    ManifestOptions,
    Section,
    UriRules,
    cast_to,
    explained,
    folder_of,
    is_list,
    with_chosen_columns,
    with_items,
)
from transforms.source_kinds.annotations import stated_annotations
from transforms.source_kinds.source import ListingRules, Source, SourcePart

_PROTOCOL: Final = "parquet"
_CLASS: Final = "ClassLabel"
_LABEL: Final = "label"
_NEITHER: Final = "The row has neither bytes nor a path."

Classes = Mapping[str, Sequence[str]]


def split_of_file(uri: str) -> str | None:
    """Returns the split that a file's name begins with, or its folder has as a name; None if it is no split's.

    >>> split_of_file("data/train-00000-of-00003.parquet"), split_of_file("Val/0.parquet"), split_of_file("a.parquet")
    ('train', 'validation', None)
    """
    *_, folder, name = ["", *without_query(uri).split("/")]
    words = (re.split(r"[^A-Za-z]", name, maxsplit=1)[0].lower(), folder.lower())
    return next((SPELLINGS[word].word for word in words if word in SPELLINGS), None)


def image_table(manifest: Manifest, options: ManifestOptions) -> "ImageTableSource | None":
    """Returns a Parquet file as a source if it has a column of images, and none of URIs.

    Args:
        manifest: The file, looked at.
        options: Which of its columns are wanted, and as what.

    Raises:
        InvalidInput: If it lacks a column that is wanted, has one twice, one that cannot be carried along, or one of
            several images a row.
    """
    if options.uri_column in manifest.names:
        return None
    with explained(manifest.uri), open_parquet(manifest.uri) as (file, _):
        schema, column = file.schema_arrow, image_column(file)
    if column is None:
        _refuse_lists(manifest.uri, schema)
        return None
    classes = _classes(features_of(schema))
    fields = [pa.field(URI, pa.string()), *_told_fields(schema, column, classes, options.carry or ())]
    label = options.label_column or _label_column(schema.names, classes)
    own = dataclasses.replace(options, uri_column=URI, uri_prefix="", uri_suffix="", label_column=label)
    table = with_chosen_columns(dataclasses.replace(manifest, fields=tuple(fields)), own)
    columns = tuple(column for column in table.columns if column.name != URI)
    return ImageTableSource(
        manifest.uri,
        dataclasses.replace(table, columns=columns),
        column,
        tuple((name, tuple(names)) for name, names in classes.items()),
        None if any(found.name == "split" for found in columns) else split_of_file(manifest.uri),
    )


def _refuse_lists(uri: str, schema: pa.Schema) -> None:
    found = image_lists(schema)
    if found:
        raise InvalidInput(
            f"The file {shown(uri)} has several images a row, in its column '{shown(found[0], 40)}'; write it with a "
            "row for each image."
        )


def _classes(features: Mapping[str, Any]) -> Classes:
    """Returns the names of classes by the columns that hold their numbers, or lists of these."""
    found = {}
    for name, feature in features.items():
        of_list = feature[0] if isinstance(feature, list) and feature else feature
        inner = of_list.get("feature", of_list) if isinstance(of_list, dict) else {}
        if isinstance(inner, dict) and inner.get("_type") == _CLASS and inner.get("names"):
            found[name] = [str(each) for each in inner["names"]]
    return found


def _told_fields(schema: pa.Schema, images: str, classes: Classes, named: Sequence[str]) -> Iterator[pa.Field]:
    """Yields the fields of the columns beside the images; what no table can hold is left out unless it is named."""
    for field in schema:
        if field.name in classes:
            yield field.with_type(pa.list_(pa.string()) if is_list(field.type) else pa.string())
        elif field.name != images and (field.name in named or not _is_complex(field.type)):
            yield field


def _is_complex(kind: pa.DataType) -> bool:
    inner = kind.value_type if is_list(kind) else kind
    return bool(pa.types.is_nested(inner) or pa.types.is_binary(inner) or pa.types.is_large_binary(inner))


def _label_column(names: Sequence[str], classes: Classes) -> str | None:
    """Returns the column of the labels where it is not named `label`: the only one of classes."""
    return None if _LABEL in names or len(classes) != 1 else next(iter(classes))


@dataclasses.dataclass(frozen=True)
class ImageTableSource(Source):
    """A Parquet file whose rows are images.

    Attributes:
        uri: Where it is.
        manifest: Its columns besides the images.
        column: The column of the images.
        classes: The names of classes, by the columns that hold their numbers.
        split: The split of all images, where its name says so and no column does.
    """

    uri: str
    manifest: Manifest
    column: str
    classes: tuple[tuple[str, tuple[str, ...]], ...]
    split: str | None

    @property
    def manifests(self) -> tuple[Manifest, ...]:
        """Its other columns."""
        return (self.manifest,)

    @property
    def annotations(self) -> tuple[str, ...]:
        """Label, split and its further columns, those of them that it has."""
        return tuple(annotation_names(self.names))

    @property
    def names(self) -> list[str]:
        """The columns that it says something in."""
        return [*(column.name for column in self.manifest.columns), *(["split"] if self.split else [])]

    def divide(self, rules: ListingRules, _: IgnoredFiles) -> Iterator[SourcePart]:
        """Divides it into row groups."""
        yield from (ImageTablePart(self, section) for section in self.manifest.sections(rules.rows_per_section))

    def has_image(self, _: ListingRules) -> bool:
        """Whether it has a row."""
        with open_parquet(self.uri) as opened:
            return bool(opened.file.metadata.num_rows)

    def without_image(self, _: ListingRules) -> str:
        """Says that it has no row."""
        return f"The file {shown(self.uri)} has a column of images, '{shown(self.column, 40)}', and no row."

    def values(self, rows: pa.RecordBatch, column: Column) -> pa.Array:
        """Returns a column of some rows; numbers of classes are their names, and -1 is none, as in unlabelled sets."""
        values = rows.column(column.source)
        names = dict(self.classes).get(column.source)
        return cast_to(values if names is None else _named(values, names), column.type)


def _named(numbers: pa.Array, names: Sequence[str]) -> pa.Array:
    if not is_list(numbers.type):
        are_classes = pc.and_(pc.greater_equal(numbers, 0), pc.less(numbers, len(names)))
        return pa.array(names, pa.string()).take(pc.if_else(are_classes, numbers, pa.scalar(None, numbers.type)))
    return with_items(numbers, _named(pc.list_flatten(numbers), names))


@dataclasses.dataclass(frozen=True)
class ImageTablePart(SourcePart):
    """Some row groups of a file.

    Attributes:
        source: The file.
        section: The row groups.
    """

    source: ImageTableSource
    section: Section

    def refs(self, rules: ListingRules, _: IgnoredFiles) -> Iterator[pa.RecordBatch]:
        """Yields the images: cells with bytes, and files by the paths of those without."""
        source, row = self.source, 0
        version = ArchiveFile(source.uri).version()
        names = [column.source for column in source.manifest.columns]
        with explained(source.uri), open_parquet(source.uri) as (file, threads):
            if holds_paths(file.schema_arrow, source.column):
                names.append(f"{source.column}.{PATH}")
            groups = range(self.section.start, self.section.end or 0)
            sizes = [file.metadata.row_group(group).num_rows for group in groups]
            given = np.concatenate([*has_bytes(file, source.column, groups)])
            numbers = np.stack([np.repeat(groups, sizes), np.concatenate([np.arange(size) for size in sizes])])
            for rows in file.iter_batches(REFS_PER_BATCH, groups, names, use_threads=threads):
                end = row + rows.num_rows
                cells = _Cells(source, self.section.first_row + row, numbers[:, row:end], version)
                yield _to_refs(rows, pa.array(given[row:end]), cells, rules)
                row = end


@dataclasses.dataclass(frozen=True)
class _Cells:
    """The cells of some rows that follow each other.

    Attributes:
        source: The file.
        first_row: The first row, in the file.
        numbers: int64 [2, n], their row groups, and their rows in these.
        version: The version of the file.
    """

    source: ImageTableSource
    first_row: int
    numbers: np.ndarray
    version: str

    def uris(self) -> pa.Array:
        """Returns their URIs, string [n]."""
        column, uri = self.source.column, self.source.uri
        names = (cell_name(column, self.first_row + number) for number in range(self.numbers.shape[1]))
        return pa.array([str(MemberUri(_PROTOCOL, name, uri)) for name in names], pa.string())

    def places(self) -> pa.Array:
        """Returns where they are, string [n]."""
        column, version = self.source.column, self.version
        return pa.array([str(Cell(group, row, column, version)) for group, row in self.numbers.T.tolist()], pa.string())


def _to_refs(rows: pa.RecordBatch, given: pa.Array, cells: _Cells, rules: ListingRules) -> pa.RecordBatch:
    """Brings rows into the schema of refs; what a file lacks is null."""
    source, count = cells.source, rows.num_rows
    nothing = pa.scalar(None, pa.string())
    has_paths = source.column in rows.schema.names
    paths = rows.column(source.column).flatten()[0].cast(pa.string()) if has_paths else pa.nulls(count, pa.string())
    is_file = pc.and_not(pc.fill_null(pc.not_equal(paths, ""), False), given)
    is_nothing = pc.and_not(pc.invert(given), is_file)
    resolver = UriRules(source.uri, folder_of(source.uri))
    files, refused = resolver.resolve(pc.if_else(is_file, paths, source.uri), 0, rules.allowed)
    problems = pc.if_else(is_nothing, _NEITHER, nothing)
    if refused is not None:
        problems = pc.coalesce(problems, pc.if_else(is_file, refused, nothing))
    found = {column.name: source.values(rows, column) for column in source.manifest.columns}
    found |= {
        URI: pc.if_else(is_file, files, cells.uris()),
        PLACE: pc.if_else(given, cells.places(), nothing),
        PROBLEM: problems,
        "version": pc.if_else(pc.and_(is_file, pc.is_null(problems)), nothing, cells.version),
    }
    if source.split:
        found["split"] = pa.repeat(pa.scalar(source.split), count)
    own = {*REF_COLUMNS, PLACE, PROBLEM, *(field.name for field in source.carried)}
    columns = [
        found[field.name].cast(field.type) if field.name in own and field.name in found else pa.nulls(count, field.type)
        for field in rules.schema
    ]
    return stated_annotations(
        pa.RecordBatch.from_arrays(columns, schema=rules.schema), source.names, f"file {source.uri}"
    )
