"""`Manifest`: a table of images, looked at but not read, and its rows, a section at a time."""

import contextlib
import csv
import dataclasses
import io
from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias

import pyarrow as pa

from schemas.errors import InputNotFound, InvalidInput, first_line, shown
from schemas.storage import is_on_the_web
from transforms.manifests.columns import URI, Column, ManifestOptions, cast_to, choose_columns, named_columns
from transforms.manifests.delimited import Header, delimited_rows, first_ragged_row, read_header
from transforms.manifests.format import ManifestFormat, NamedFormat
from transforms.manifests.json_lines import json_fields, json_rows
from transforms.manifests.parquet_rows import ROWS_PER_SECTION, open_manifest_file, parquet_rows, row_group_sections
from transforms.manifests.streams import (
    UTF_8,
    found_encoding,
    is_utf_8,
    line_that_is_no_utf_8,
    open_lines,
    open_text,
    refuse_bomb,
)
from transforms.manifests.text_lists import BYTES_PER_SECTION, section_rows, stream_rows, text_sections

# Columns by the names of folders, `split=train`, and their values.
Partition: TypeAlias = tuple[tuple[str, str | None], ...]

# What helps where a text is not UTF-8.
_ENCODING_OPTION: Final = "--encoding=latin-1, --encoding=cp1252 or another one says what it is"

# What Arrow and Python raise of a file that is not what its name says.
_UNREADABLE: Final = (UnicodeError, pa.ArrowException, OSError, EOFError, csv.Error)


@dataclasses.dataclass(frozen=True)
class Section:
    """A section of a manifest that is read by itself.

    Attributes:
        start: Its first row group in a Parquet file, else its first byte.
        end: The row group or byte behind its last; None for the end of a text that is read from its beginning.
        first_row: The rows before it, where that is known.
    """

    start: int = 0
    end: int | None = None
    first_row: int = 0


@dataclasses.dataclass(frozen=True)
class Manifest:
    """A table of images.

    Attributes:
        uri: Where it is.
        form: How it is written and compressed.
        encoding: That of its text.
        fields: The columns that it has.
        header: The first line of a delimited text.
        columns: The columns that are read.
        partition: Columns that have one value throughout, which the names of its folders say.
    """

    uri: str
    form: NamedFormat
    encoding: str
    fields: tuple[pa.Field, ...]
    header: Header | None = None
    columns: tuple[Column, ...] = ()
    partition: Partition = ()

    @property
    def names(self) -> list[str]:
        """The names of the columns that it has, without blanks around them."""
        return [field.name.strip() for field in self.fields if field.name.strip()]

    @property
    def is_divided(self) -> bool:
        """Whether it may have several sections. Others are read from their beginning, and texts of the web."""
        if self.form.format == ManifestFormat.PARQUET:
            return True
        return self.form == (ManifestFormat.TEXT, None) and self.encoding == UTF_8 and not is_on_the_web(self.uri)

    def sections(
        self, rows_per_section: int = ROWS_PER_SECTION, bytes_per_section: int = BYTES_PER_SECTION
    ) -> Iterator[Section]:
        """Divides it.

        Args:
            rows_per_section: Row groups of a Parquet file are taken together until they have so many rows.
            bytes_per_section: The bytes of a section of a text.

        Raises:
            InvalidInput: If it cannot be read.
        """
        with explained(self.uri):
            if not self.is_divided:
                yield Section()
            elif self.form.format == ManifestFormat.PARQUET:
                with open_manifest_file(self.uri, self.form.compression) as (file, _):
                    yield from (Section(*bounds) for bounds in row_group_sections(file, rows_per_section))
            else:
                with open_lines(self.uri) as file:
                    size = file.seek(0, io.SEEK_END)
                yield from (Section(*bounds) for bounds in text_sections(size, bytes_per_section))

    def read(self, names: Sequence[str]) -> pa.Table:
        """Reads columns whole, with the types that they have.

        Raises:
            InvalidInput: If it lacks one, has one twice, or cannot be read.
        """
        columns = named_columns(self.uri, self.fields, names)
        manifest = dataclasses.replace(self, columns=columns)
        batches = [rows for section in self.sections() for rows in manifest.rows(section)]
        return pa.Table.from_batches(batches, pa.schema([(column.name, column.type) for column in columns]))

    def rows(self, section: Section) -> Iterator[pa.RecordBatch]:
        """Yields the rows of a section in batches of at most `REFS_PER_BATCH`, of the columns that are read.

        Raises:
            InvalidInput: If it cannot be read.
        """
        try:
            with explained(self.uri):
                for batch in self._batches(section):
                    values = [self._cast(batch, column) for column in self._in_file]
                    rows = pa.RecordBatch.from_arrays(values, [column.name for column in self._in_file])
                    yield self._with_partition(rows)
        except InvalidInput as error:
            try:
                complaint = self._with_line(str(error))
            except (pa.ArrowException, csv.Error):  # Nor can the lines before it be told apart.
                complaint = str(error)
            raise InvalidInput(complaint) from error

    def _cast(self, batch: pa.RecordBatch, column: Column) -> pa.Array:
        try:
            return cast_to(batch.column(column.name), column.type)
        except (pa.ArrowException, ValueError, OverflowError) as error:
            raise InvalidInput(
                f"The column '{shown(column.source, 40)}' of the manifest {shown(self.uri)} cannot be read as "
                f"{shown(str(column.type), 40)}: {shown(first_line(error), 160)}"
            ) from error

    @property
    def _in_file(self) -> tuple[Column, ...]:
        """The columns of those that are read that stand in the file."""
        in_folders = dict(self.partition)
        return tuple(column for column in self.columns if column.source not in in_folders)

    def _with_partition(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        in_folders = dict(self.partition)
        for column in self.columns:
            if column.source in in_folders:
                value = pa.scalar(in_folders[column.source], column.type)
                rows = rows.append_column(column.name, pa.repeat(value, rows.num_rows))
        return rows

    def _batches(self, section: Section) -> Iterator[pa.RecordBatch]:
        if self.form.format == ManifestFormat.PARQUET:
            with open_manifest_file(self.uri, self.form.compression) as (file, threads):
                yield from parquet_rows(file, section.start, section.end or 0, self._in_file, threads=threads)
        elif section.end is not None:
            with open_lines(self.uri) as file:
                yield from section_rows(file, section.start, section.end)
        else:
            with self._open() as stream:
                yield from self._whole(stream)

    def _whole(self, stream: pa.NativeFile) -> Iterator[pa.RecordBatch]:
        if self.header is not None:
            return delimited_rows(stream, self.header, self._in_file)
        if self.form.format == ManifestFormat.JSON_LINES:
            return json_rows(stream, self.uri, self._in_file)
        return stream_rows(stream)

    def _open(self) -> pa.NativeFile:
        return open_text(self.uri, self.form.compression, self.encoding)

    def _with_line(self, complaint: str) -> str:
        """Returns a complaint with the line where what it complains of stands, if that can be found."""
        if self.form.format in {ManifestFormat.PARQUET, ManifestFormat.JSON_LINES}:
            return complaint
        try:
            return self._line_at_fault() or complaint
        except _UNREADABLE:  # What cannot be read to that line says no more.
            return complaint

    def _line_at_fault(self) -> str | None:
        if self.header is not None:
            with self._open() as stream:
                ragged = first_ragged_row(stream, self.header)
            if ragged is not None:
                return (
                    f"Line {ragged.line} of the manifest {shown(self.uri)} has {ragged.cells} cells and its header has "
                    f"{len(self.header.names)}: every row has to have as many, those with a "
                    f"'{self.header.delimiter}' in them in quotes."
                )
        with self._open() as stream:
            line = line_that_is_no_utf_8(stream)
        return None if line is None else _no_utf_8(self.uri, line)


def open_manifest(uri: str, form: NamedFormat, options: ManifestOptions | None = None) -> Manifest:
    """Looks at a manifest, and chooses the columns that are read.

    Args:
        uri: The manifest.
        form: How it is written.
        options: How it is read.

    Raises:
        InvalidInput: If it cannot be read, is empty, lacks a column that is wanted, has one twice, or one that cannot
            be carried along.
    """
    given = options or ManifestOptions()
    return with_chosen_columns(look_at_manifest(uri, form, given), given)


def with_chosen_columns(manifest: Manifest, options: ManifestOptions, partition: Partition = ()) -> Manifest:
    """Chooses the columns of a manifest that are read.

    Args:
        manifest: The manifest, looked at.
        options: How it is read.
        partition: Further columns, by the names of its folders.

    Raises:
        InvalidInput: If it lacks a column that is wanted, has one twice, or one that cannot be carried along.
    """
    fields = (*manifest.fields, *(pa.field(name, pa.string()) for name, _ in partition))
    columns = choose_columns(manifest.uri, fields, options)
    return dataclasses.replace(manifest, fields=fields, columns=columns, partition=partition)


def look_at_manifest(uri: str, form: NamedFormat, options: ManifestOptions | None = None) -> Manifest:
    """Looks at a manifest: its encoding, its columns and their types.

    Args:
        uri: The manifest.
        form: How it is written.
        options: How it is read.

    Raises:
        InvalidInput: If it cannot be read, or is empty.
    """
    given = options or ManifestOptions()
    with explained(uri):
        refuse_bomb(uri, form.compression)
        encoding = _encoding_of(uri, form, given)
        header = _header_of(uri, form, encoding, given)
        if header is not None:  # Also of a text that turns out to be a table, as spreadsheets write them.
            form = form._replace(format=ManifestFormat.CSV)
        fields = tuple(_fields_of(uri, form, encoding, header))
    if not fields:
        raise InvalidInput(f"The manifest {shown(uri)} is empty: it has to have columns, one of them with the URIs.")
    return Manifest(uri, form, encoding, fields, header)


def _encoding_of(uri: str, form: NamedFormat, options: ManifestOptions) -> str:
    if form.format == ManifestFormat.PARQUET:
        return UTF_8
    if options.encoding is None:
        return found_encoding(uri, form.compression)
    return UTF_8 if is_utf_8(options.encoding) else options.encoding


def _header_of(uri: str, form: NamedFormat, encoding: str, options: ManifestOptions) -> Header | None:
    """Returns the header of a table; None of a list of URIs, which has none."""
    if form.format not in {ManifestFormat.CSV, ManifestFormat.TEXT}:
        return None
    with open_text(uri, form.compression, encoding) as stream:
        is_named_so = form.format == ManifestFormat.CSV
        header = read_header(stream, options.uri_column, is_checked=is_named_so)
    return header if is_named_so or options.uri_column in map(str.strip, header.names) else None


def _fields_of(uri: str, form: NamedFormat, encoding: str, header: Header | None) -> Sequence[pa.Field]:
    """Returns the columns that a manifest has."""
    if header is not None:
        return [pa.field(name, pa.string()) for name in header.names]
    if form.format == ManifestFormat.PARQUET:
        with open_manifest_file(uri, form.compression) as (file, _):
            return list(file.schema_arrow)
    if form.format == ManifestFormat.JSON_LINES:
        with open_text(uri, form.compression, encoding) as stream:
            return json_fields(stream, uri)
    return [pa.field(URI, pa.string())]


@contextlib.contextmanager
def explained(uri: str) -> Iterator[None]:
    """Makes one sentence of what is wrong with a manifest.

    Raises:
        InputNotFound: If there is none.
        InvalidInput: In place of what else Arrow and Python raise.
    """
    try:
        yield
    except UnicodeError as error:
        raise InvalidInput(_no_utf_8(uri, None)) from error
    except FileNotFoundError as error:
        raise InputNotFound(f"There is no manifest at {shown(uri)}.") from error
    except _UNREADABLE as error:
        raise InvalidInput(f"The manifest {shown(uri)} cannot be read: {shown(first_line(error), 160)}") from error


def _no_utf_8(uri: str, line: int | None) -> str:
    where = "" if line is None else f"Line {line} of "
    what = f"{where}{'t' if where else 'T'}he manifest {shown(uri)}"
    return f"{what} is not UTF-8; {_ENCODING_OPTION}."


def without_encoding_option(complaint: str) -> str:
    """Returns a complaint about a manifest for whom there is no `--encoding`: files of labels, lists of takedowns."""
    return complaint.replace(_ENCODING_OPTION, "save it as UTF-8")
