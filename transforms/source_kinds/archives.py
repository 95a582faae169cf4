"""Archives as sources: their members are images, told as those of a folder are, beside what is said of them."""

import dataclasses
import itertools
from collections.abc import Iterator
from typing import NamedTuple

import pyarrow as pa

from schemas.annotations import annotation_names
from schemas.errors import DamagedArchive, InvalidInput, shown
from schemas.images import REFS_PER_BATCH
from schemas.storage import MemberUri
from transforms.archives import (
    Fields,
    Member,
    UnreadableField,
    archive_members,
    in_types,
    is_class,
    sample_fields,
    sample_key,
    stands_beside,
)
from transforms.folders import NOT_UTF_8, FoundFile, IgnoredFiles, escaped
from transforms.source_kinds.annotations import refs_with_fields
from transforms.source_kinds.chosen_members import ChosenMembers
from transforms.source_kinds.refs import ref_batches, rest_of_archive
from transforms.source_kinds.source import ListingRules, Source, SourcePart


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
        names = [name for name in self.annotations if name in rules.schema.names]
        where = f"archive {self.named.archive_uri}"
        while found := list(itertools.islice(files, REFS_PER_BATCH)):
            for batch in ref_batches((file for file, _ in found), rules.schema):
                yield refs_with_fields(batch, [fields for _, fields in found], names, where)
        if damage is not None:
            yield from rest_of_archive(*self._archive, rules.schema)

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
            f"{', '.join(rules.extensions)} (--extensions); hidden ones are left out (--include_hidden), and neither "
            "archives nor manifests in it are read."
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
        self._columns = [field for field in rules.schema if field.name in names]
        self._images: dict[str, Member] = {}
        self._beside: dict[str, dict[str, _Beside]] = {}

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
                for name in beside:
                    self._chosen.takes(name)
        return damage

    def _add(self, member: Member) -> None:
        # Of several members of the same name the last counts, as unpacking would leave it; a device is no image.
        if self._source.columns and stands_beside(member.name):
            beside = self._beside.setdefault(sample_key(member.name), {})
            self._chosen.ignored += beside.pop(member.name, None) is not None
            beside[member.name] = self._read_beside(member)
        elif self._chosen.takes(member.name):
            self._chosen.ignored += self._images.pop(member.name, None) is not None
            if member.place is None and member.problem is None:
                self._chosen.ignored += 1
            else:
                self._images[member.name] = member

    def _read_beside(self, member: Member) -> "_Beside":
        try:
            fields = in_types(sample_fields(member), self._columns)
        except UnreadableField as error:
            return _Beside(member.name, {}, str(error))
        return _Beside(member.name, fields)

    def files(self) -> Iterator[tuple[FoundFile, Fields]]:
        """Yields the images, and what is said of them."""
        for member in self._images.values():
            # A `.cls` is a label before a field of that name is one.
            beside = sorted(self._beside.get(sample_key(member.name), {}).values(), key=lambda one: is_class(one.name))
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
