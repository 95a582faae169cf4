"""TFRecord files of `tf.train.Example` as sources: a record is an image, with its label."""

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Final

import pyarrow as pa

from schemas.errors import DamagedArchive, InvalidInput, shown
from schemas.images import REFS_PER_BATCH
from schemas.storage import MemberUri
from transforms.archives import ArchiveFile, ExampleImage, example_images
from transforms.folders import FoundFile, IgnoredFiles
from transforms.source_kinds.annotations import replaced, stated_annotations
from transforms.source_kinds.refs import ref_batches, rest_of_archive
from transforms.source_kinds.source import ListingRules, Source, SourcePart

_PROTOCOL: Final = "tfrecord"


@dataclasses.dataclass(frozen=True)
class TFRecordSource(Source, SourcePart):
    """A file of records: a source that is its only part.

    Attributes:
        uri: Where it is.
        label: The feature that holds the labels, if it was named.
        split: The split of all images, where the file's name says so.
    """

    uri: str
    label: str | None = None
    split: str | None = None

    @property
    def annotations(self) -> tuple[str, ...]:
        """The label, and the split if its name says one."""
        return ("label", "split") if self.split else ("label",)

    def divide(self, _rules: ListingRules, _ignored: IgnoredFiles) -> Iterator[SourcePart]:
        """Yields itself: it is read once, from its beginning."""
        yield self

    def refs(self, rules: ListingRules, _: IgnoredFiles) -> Iterator[pa.RecordBatch]:
        """Yields its images in its order; what cannot be read of it is a row that says so."""
        damage: list[DamagedArchive] = []
        images = self._images(damage)
        while together := list(itertools.islice(images, REFS_PER_BATCH)):
            yield from self._labelled(together, rules)
        if damage:
            yield from rest_of_archive(_PROTOCOL, self.uri, rules.schema)

    def _images(self, damage: list[DamagedArchive]) -> Iterator[ExampleImage]:
        try:
            yield from self._read()
        except DamagedArchive as error:
            damage.append(error)

    def _read(self) -> Iterator[ExampleImage]:
        archive = ArchiveFile.at(self.uri)
        return example_images(archive, archive.version(), self.label)

    def _labelled(self, images: list[ExampleImage], rules: ListingRules) -> Iterator[pa.RecordBatch]:
        for batch in ref_batches((self._file(image) for image in images), rules.schema):
            labels = pa.array([image.label for image in images], pa.string())
            splits = pa.repeat(pa.scalar(self.split, pa.string()), batch.num_rows)
            refs = replaced(batch, {"label": labels, "split": splits})
            yield stated_annotations(refs, self.annotations, f"file {self.uri}")

    def _file(self, image: ExampleImage) -> FoundFile:
        member = image.member
        uri = str(MemberUri(_PROTOCOL, member.name, self.uri))
        return FoundFile(uri, member.version, member.size, member.problem, None if member.problem else member.place)

    def has_image(self, _: ListingRules) -> bool:
        """Whether it has a record.

        Raises:
            InvalidInput: If not even the first can be read.
        """
        try:
            return next(self._read(), None) is not None
        except DamagedArchive as error:
            raise InvalidInput(f"The TFRecord file {shown(self.uri)} cannot be read. {error.message}") from error

    def without_image(self, _: ListingRules) -> str:
        """Says that it has no record."""
        return f"The TFRecord file {shown(self.uri)} has no record."
