"""Manifests as sources: their rows are images."""

import dataclasses
import itertools
import os
import unicodedata
from collections.abc import Iterator
from typing import Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from schemas.annotations import annotation_names
from schemas.errors import InvalidInput, shown
from schemas.images import PROBLEM
from transforms.folders import IgnoredFiles
from transforms.manifests import REF_COLUMNS, URI, Manifest, Section, UriRules
from transforms.source_kinds.annotations import stated_annotations
from transforms.source_kinds.refs import PackedRefs
from transforms.source_kinds.source import ListingRules, Source, SourcePart

_LOCAL: Final = "file://"


class FirstImages(NamedTuple):
    """The first images of a manifest.

    Attributes:
        rows: Their rows, as they stand there.
        refs: The same as refs.
    """

    rows: pa.RecordBatch
    refs: pa.RecordBatch


@dataclasses.dataclass(frozen=True)
class ManifestSource(Source):
    """A table of images.

    Attributes:
        uri: Where it is.
        manifest: What it looks like.
        uri_rules: How its URIs are read.
    """

    uri: str
    manifest: Manifest
    uri_rules: UriRules

    @property
    def manifests(self) -> tuple[Manifest, ...]:
        """Itself."""
        return (self.manifest,)

    @property
    def annotations(self) -> tuple[str, ...]:
        """Label, split and its further columns, those of them that it has."""
        return tuple(annotation_names(column.name for column in self.manifest.columns))

    def divide(self, rules: ListingRules, ignored: IgnoredFiles) -> Iterator[SourcePart]:
        """Divides it into sections; what has to be read from its beginning is read here if its images are looked up.

        Looking for versions takes far longer than reading, and is no work for a single worker.
        """
        for section in self.manifest.sections(rules.rows_per_section, rules.bytes_per_section):
            part = ManifestPart(self, section)
            if self.manifest.is_divided or not rules.stat_manifests:
                yield part
            else:
                yield from map(PackedRefs.of, part.refs(rules, ignored))

    def without_image(self, _: ListingRules) -> str:
        """Says that it has no row."""
        return f"The manifest {shown(self.uri)} names no image: it has no row."

    def first_images(self, rules: ListingRules) -> FirstImages | None:
        """Reads its beginning; None if it has no row.

        Raises:
            InvalidInput: If it cannot be read.
        """
        for section in self.manifest.sections(rules.rows_per_section, rules.bytes_per_section):
            rows = next((rows for rows in self.manifest.rows(section) if rows.num_rows), None)
            if rows is not None:
                return FirstImages(rows, _to_refs(rows, self, rules, section.first_row))
        return None

    def has_image(self, rules: ListingRules) -> bool:
        """Whether it has a row."""
        return self.first_images(rules) is not None

    def check_files(self, first: FirstImages) -> None:
        """Looks for the first images, where they are files of this machine; one that is there is enough.

        Where the manifest says their versions, images that the store knows may be gone.

        Raises:
            InvalidInput: If all are missing; says where they were looked for and where they would be.
        """
        if "version" in first.rows.schema.names:
            return
        uris = first.refs.column(URI)
        if pc.all(pc.starts_with(uris, _LOCAL)).as_py() and not any(_exists(_path(uri)) for uri in uris.to_pylist()):
            written = first.rows.column(URI)[0].as_py() or ""
            raise InvalidInput(self._missing(written, uris[0].as_py(), len(uris)))

    def _missing(self, written: str, looked_for: str, count: int) -> str:
        first = "Its image is missing" if count == 1 else f"The first {count:,} images are all missing"
        remedy = "--uri_prefix and --uri_suffix are put around what it says"
        for path, way in self._candidates(written):
            if _exists(path):
                remedy = f"{shown(path, 100)} is there: {way}"
                break
        return f"{first} in the manifest {shown(self.uri, 60)}: looked for {shown(_path(looked_for), 80)}; {remedy}."

    def _candidates(self, written: str) -> Iterator[tuple[str, str]]:
        """Yields where the first image might be, and what would have it looked for there."""
        rules = self.uri_rules
        relative = "paths are relative to the manifest unless --uri_prefix=$PWD/ is given"
        literal = "names are taken literally, write / instead of \\"
        accents = "its accents are written otherwise there than in the manifest (Unicode's NFC and NFD)"
        others = {unicodedata.normalize(form, written): accents for form in ("NFC", "NFD")}
        ways = {**others, written.replace("\\", "/"): literal, written: relative}
        for path, folder in itertools.product(ways, (_path(rules.folder), os.getcwd())):  # noqa: PTH109 (as text)
            yield os.path.join(folder, f"{rules.prefix}{path}{rules.suffix}"), ways[path]  # noqa: PTH118 (as text)


def _path(uri: str) -> str:
    return uri.removeprefix(_LOCAL)


def _exists(path: str) -> bool:
    return os.path.exists(path)  # noqa: PTH110 (Path.exists raises for what can be no path)


@dataclasses.dataclass(frozen=True)
class ManifestPart(SourcePart):
    """A section of a manifest.

    Attributes:
        source: The manifest.
        section: Its section.
    """

    source: ManifestSource
    section: Section

    def refs(self, rules: ListingRules, _: IgnoredFiles) -> Iterator[pa.RecordBatch]:
        """Yields its rows as refs."""
        first_row = self.section.first_row
        for rows in self.source.manifest.rows(self.section):
            yield _to_refs(rows, self.source, rules, first_row)
            first_row += rows.num_rows


def _to_refs(rows: pa.RecordBatch, source: ManifestSource, rules: ListingRules, first_row: int) -> pa.RecordBatch:
    """Brings rows of a manifest into the schema of refs; what a manifest lacks is null."""
    resolved = source.uri_rules.resolve(rows.column(URI), first_row, rules.allowed)
    found = {URI: resolved.uris}
    if resolved.problems is not None:
        found[PROBLEM] = resolved.problems
    own = {*REF_COLUMNS, *(field.name for field in source.carried)} - {URI}
    columns = []
    for field in rules.schema:
        if field.name in own and field.name in rows.schema.names:
            columns.append(rows.column(field.name).cast(field.type))
        else:
            columns.append(found.get(field.name, pa.nulls(rows.num_rows, field.type)))
    index = rules.schema.get_field_index("version")
    if "version" not in rows.schema.names and not rules.stat_manifests:
        columns[index] = pa.repeat(pa.scalar(""), rows.num_rows)
    elif resolved.problems is not None:
        columns[index] = pc.if_else(pc.is_valid(resolved.problems), "", columns[index])
    refs = pa.RecordBatch.from_arrays(columns, schema=rules.schema)
    return stated_annotations(refs, rows.schema.names, f"manifest {source.uri}")
