"""Archives as sources: their members are images, told as those of a folder are, beside what is said of them."""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from schemas.annotations import annotation_names
from schemas.errors import DamagedArchive, InvalidInput, shown
from schemas.images import GIVEN, PROBLEM, REFS_PER_BATCH
from schemas.storage import MemberUri
from transforms.archives import (
    Member,
    Scalar,
    UnreadableField,
    archive_members,
    in_type,
    is_class,
    sample_fields,
    sample_key,
    stands_beside,
)
from transforms.folders import NOT_UTF_8, FoundFile, IgnoredFiles, escaped
from transforms.source_kinds.annotations import stated_annotations
from transforms.source_kinds.chosen_members import ChosenMembers
from transforms.source_kinds.refs import ref_batches, rest_of_archive
from transforms.source_kinds.source import ListingRules, Source, SourcePart

Fields = Mapping[str, Scalar | None]


@dataclasses.dataclass(frozen=True)
class ArchiveSource(Source, SourcePart):
    """An archive, or some of its members: a source that is its only part.

    Attributes:
        uri: What was named, in canonical form.
        named: The archive, with a folder of it, a member, or a glob of members; without a name, all of it.
        columns: The columns of which members beside the pictures say something, `label` and `split` among them.
    """

    uri: str
    named: MemberUri
    columns: tuple[pa.Field, ...] = ()

    @property
    def carried(self) -> tuple[pa.Field, ...]:
        """The fields of the further columns."""
        return tuple(field for field in self.columns if field.name not in {"label", "split"})

    @property
    def annotations(self) -> tuple[str, ...]:
        """The columns of which something is said."""
        return tuple(annotation_names(field.name for field in self.columns))

    def divide(self, _rules: ListingRules, _ignored: IgnoredFiles) -> Iterator[SourcePart]:
        """Yields itself: its directory is read once."""
        yield self

    def refs(self, rules: ListingRules, ignored: IgnoredFiles) -> Iterator[pa.RecordBatch]:
        """Yields its images in the order of the archive; what cannot be read of it is a row that says so."""
        listing = _Listing(self, rules)
        damage = listing.read()
        ignored.files += listing.ignored
        files = listing.files()
        while found := list(itertools.islice(files, REFS_PER_BATCH)):
            for batch in ref_batches((file for file, _ in found), rules.schema):
                yield self._annotated(batch, [fields for _, fields in found])
        if damage is not None:
            yield from rest_of_archive(*self._archive, rules.schema)

    def _annotated(self, refs: pa.RecordBatch, fields: Sequence[Fields]) -> pa.RecordBatch:
        names = [name for name in self.annotations if name in refs.schema.names]
        if not names:
            return refs
        for name in names:
            index = refs.schema.get_field_index(name)
            field = refs.schema.field(index)
            refs = refs.set_column(index, field, pa.array([said.get(name) for said in fields], field.type))
        refs = stated_annotations(refs, names, f"archive {self.named.archive_uri}")
        index = refs.schema.get_field_index(GIVEN)
        # Of an image with something unreadable beside it nothing is said.
        given = pc.if_else(pc.is_valid(refs.column(PROBLEM)), pa.scalar(None, pa.string()), refs.column(index))
        return refs.set_column(index, refs.schema.field(index), given)

    def has_image(self, rules: ListingRules) -> bool:
        """Whether there is an image in it; stops at the first.

        Raises:
            InvalidInput: If nothing of it can be read.
        """
        chosen = ChosenMembers(self.named.name, rules)
        try:
            return any(chosen.takes(member.name) for member in archive_members(*self._archive))
        except DamagedArchive as error:
            raise InvalidInput(f"The input {shown(self.uri)} cannot be read. {error.message}") from error

    @property
    def _archive(self) -> tuple[str, str]:
        return self.named.protocol, self.named.archive_uri

    def without_image(self, rules: ListingRules) -> str:
        """Says by which extensions images are told."""
        return (
            f"There is no image in {shown(self.uri)}; an archive's images are the members ending in "
            f"{', '.join(rules.extensions)} (--extensions); hidden ones are left out (--include_hidden), and archives "
            "in it are not looked into."
        )


class _Beside(NamedTuple):
    """What a member beside a picture says of it.

    Attributes:
        name: The member.
        fields: What it says, by column.
        problem: Why it cannot be read.
    """

    name: str
    fields: Fields
    problem: str | None = None


class _Listing:
    """The images of an archive, and what stands beside them."""

    def __init__(self, source: ArchiveSource, rules: ListingRules) -> None:
        self._source = source
        self._named = source.named
        self._chosen = ChosenMembers(source.named.name, rules)
        names = {field.name for field in source.columns}
        self._fields = {field.name: field for field in rules.schema if field.name in names}
        self._images: dict[str, Member] = {}
        self._beside: dict[str, list[_Beside]] = {}

    @property
    def ignored(self) -> int:
        """How many members are not listed, and say nothing of one that is."""
        return self._chosen.ignored

    def read(self) -> DamagedArchive | None:
        """Reads the archive; returns what is wrong with it, if something is."""
        wanted = (stands_beside,) if self._source.columns else ()
        damage = None
        try:
            for member in archive_members(self._named.protocol, self._named.archive_uri, *wanted):
                self._add(member)
        except DamagedArchive as error:
            damage = error
        keys = set(map(sample_key, self._images))
        for key, beside in self._beside.items():
            if key not in keys:
                for one in beside:
                    self._chosen.takes(one.name)
        return damage

    def _add(self, member: Member) -> None:
        if self._source.columns and stands_beside(member.name):
            self._beside.setdefault(sample_key(member.name), []).append(self._read_beside(member))
        elif self._chosen.takes(member.name):
            # Of several members of the same name the last counts, as unpacking would leave it; a device is no image.
            self._chosen.ignored += self._images.pop(member.name, None) is not None
            if member.place is None and member.problem is None:
                self._chosen.ignored += 1
            else:
                self._images[member.name] = member

    def _read_beside(self, member: Member) -> "_Beside":
        try:
            found = sample_fields(member)
            fields = {name: in_type(found[name], field) for name, field in self._fields.items() if name in found}
        except UnreadableField as error:
            return _Beside(member.name, {}, str(error))
        return _Beside(member.name, fields)

    def files(self) -> Iterator[tuple[FoundFile, Fields]]:
        """Yields the images, and what is said of them."""
        for member in self._images.values():
            # A `.cls` is a label before a field of that name is one.
            beside = sorted(self._beside.get(sample_key(member.name), ()), key=lambda one: is_class(one.name))
            problem = next((one.problem for one in beside if one.problem), member.problem)
            fields = {name: value for one in beside for name, value in one.fields.items()}
            yield self._file(member, problem), {} if problem else fields

    def _file(self, member: Member, problem: str | None) -> FoundFile:
        name = member.name
        try:
            name.encode()
        except UnicodeEncodeError:
            name, problem = escaped(name), NOT_UTF_8
        place = member.place if problem is None else None
        uri = f"{self._named.protocol}://{name}::{self._named.archive_uri}"
        return FoundFile(uri, member.version, member.size, problem, place)
