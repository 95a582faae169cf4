"""Archives as sources: their members are images, told as those of a folder are."""

import dataclasses
from collections.abc import Iterator

import pyarrow as pa
from fsspec.core import has_magic

from schemas.errors import InvalidInput, shown
from schemas.storage import MemberUri
from transforms.archives import ArchiveFile, DamagedArchive, Member, archive_members
from transforms.folders import FoundFile, IgnoredFiles, Selection
from transforms.source_kinds.refs import ref_batches
from transforms.source_kinds.source import ListingRules, Source, SourcePart


@dataclasses.dataclass(frozen=True)
class ArchiveSource(Source, SourcePart):
    """An archive, or some of its members: a source that is its only part.

    Attributes:
        uri: What was named, in canonical form.
        named: The archive, with a folder of it, a member, or a glob of members; without a name, all of it.
    """

    uri: str
    named: MemberUri

    def divide(self, _rules: ListingRules, _ignored: IgnoredFiles) -> Iterator[SourcePart]:
        """Yields itself: its directory is read once."""
        yield self

    def refs(self, rules: ListingRules, ignored: IgnoredFiles) -> Iterator[pa.RecordBatch]:
        """Yields its images in the order of the archive; what cannot be read of it is a row that says so."""
        chosen = _Chosen(self.named, rules)
        found: dict[str, Member] = {}
        damage = None
        try:
            for member in archive_members(self.named.protocol, self.named.archive_uri):
                if chosen.takes(member.name):
                    # Of several members of the same name the last counts, as unpacking would leave it.
                    chosen.ignored += found.pop(member.name, None) is not None
                    found[member.name] = member
        except DamagedArchive as error:
            damage = error
        ignored.files += chosen.ignored
        files = (self._file(member) for member in found.values())
        yield from ref_batches(files, rules.schema)
        if damage is not None:
            yield from ref_batches([self._damaged(damage)], rules.schema)

    def _file(self, member: Member) -> FoundFile:
        uri = str(self.named._replace(name=member.name))
        return FoundFile(uri, member.version, member.size, member.problem, member.place)

    def _damaged(self, damage: DamagedArchive) -> FoundFile:
        version = ArchiveFile.at(self.named.archive_uri).version()
        return FoundFile(self.named.archive_uri, version, None, f"The archive is damaged: {damage}.")

    def has_image(self, rules: ListingRules) -> bool:
        """Whether there is an image in it; stops at the first.

        Raises:
            InvalidInput: If nothing of it can be read.
        """
        chosen = _Chosen(self.named, rules)
        try:
            names = (member.name for member in archive_members(self.named.protocol, self.named.archive_uri))
            return any(map(chosen.takes, names))
        except DamagedArchive as error:
            raise InvalidInput(f"The archive {shown(self.named.archive_uri)} is damaged: {error}.") from error

    def without_image(self, rules: ListingRules) -> str:
        """Says by which extensions images are told."""
        return (
            f"There is no image in {shown(self.uri)}; an archive's images are the members ending in "
            f"{', '.join(rules.extensions)} (--extensions); hidden ones are left out (--include_hidden), and archives "
            "in it are not looked into."
        )


class _Chosen:
    """Which members of an archive are listed.

    Attributes:
        ignored: How many are not, a folder counted once.
    """

    def __init__(self, named: MemberUri, rules: ListingRules) -> None:
        self._name = named.name
        self._is_glob = has_magic(named.name)
        self._selection: Selection = rules.selection(named.name if self._is_glob else None)
        self._folders: set[str] = set()
        self.ignored = 0

    def takes(self, name: str) -> bool:
        """Whether a member is listed; counts it if it is not."""
        if name == self._name:
            return True
        path = self._under(name)
        if path is None:
            return False
        ignored = self._selection.ignored_at(path)
        if ignored is None:
            return True
        if ignored != path:
            self.ignored += ignored not in self._folders
            self._folders.add(ignored)
        else:
            self.ignored += self._selection.counts(path, path.rpartition("/")[2])
        return False

    def _under(self, name: str) -> str | None:
        """Returns the path of a member under the folder that was named; None if it is not in it."""
        if self._is_glob or not self._name:
            return name
        folder = f"{self._name}/"
        return name[len(folder) :] if name.startswith(folder) else None
