"""TFRecord files of `tf.train.Example` as sources: a record is an image, with its label."""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import Final

import pyarrow as pa

from schemas.annotations import annotation_names
from schemas.errors import DamagedArchive, InvalidInput, shown
from schemas.images import REFS_PER_BATCH
from schemas.storage import MemberUri
from transforms.archives import (
    ArchiveFile,
    ExampleImage,
    RecordFeatures,
    UnreadableField,
    example_images,
    in_types,
)
from transforms.folders import FoundFile, IgnoredFiles
from transforms.source_kinds.annotations import refs_with_fields
from transforms.source_kinds.refs import ref_batches, rest_of_archive
from transforms.source_kinds.source import ListingRules, Source, SourcePart

_PROTOCOL: Final = "tfrecord"


@dataclasses.dataclass(frozen=True)
class TFRecordSource(Source, SourcePart):
    """A file of records: a source that is its only part.

    Attributes:
        uri: Where it is.
        features: Which of its features have a meaning.
        split: The split of all images that have none of their own, where the file's name says so.
        columns: The columns of which records say something, `label` and `split` among them.
    """

    uri: str
    features: RecordFeatures
    split: str | None = None
    columns: tuple[pa.Field, ...] = ()

    @property
    def carried(self) -> tuple[pa.Field, ...]:
        """The fields of the further columns."""
        return tuple(field for field in self.columns if field.name not in {"label", "split"})

    @property
    def annotations(self) -> tuple[str, ...]:
        """The columns of which something is said."""
        named = ["split"] if self.split else []
        return tuple(dict.fromkeys(annotation_names([*(field.name for field in self.columns), *named])))

    def divide(self, _rules: ListingRules, _ignored: IgnoredFiles) -> Iterator[SourcePart]:
        """Yields itself: it is read once, from its beginning."""
        yield self

    def refs(self, rules: ListingRules, _: IgnoredFiles) -> Iterator[pa.RecordBatch]:
        """Yields its images in its order; what cannot be read of it is a row that says so."""
        damage: list[DamagedArchive] = []
        images = self._images(damage)
        while together := list(itertools.islice(images, REFS_PER_BATCH)):
            yield from self._annotated(together, rules)
        if damage:
            yield from rest_of_archive(_PROTOCOL, self.uri, rules.schema)

    def _images(self, damage: list[DamagedArchive]) -> Iterator[ExampleImage]:
        try:
            yield from self._read()
        except DamagedArchive as error:
            damage.append(error)

    def _read(self) -> Iterator[ExampleImage]:
        archive = ArchiveFile(self.uri)
        return example_images(archive, archive.version(), self.features)

    def _annotated(self, images: list[ExampleImage], rules: ListingRules) -> Iterator[pa.RecordBatch]:
        names = [name for name in self.annotations if name in rules.schema.names]
        columns = [field for field in rules.schema if field.name in names]
        typed = [_typed(image, columns) for image in images]
        of_file = {"split": self.split} if self.split else {}
        said = [{**of_file, **image.fields} for image in typed]
        for batch in ref_batches((self._file(image) for image in typed), rules.schema):
            yield refs_with_fields(batch, said, names, f"file {self.uri}")

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


def _typed(image: ExampleImage, columns: Sequence[pa.Field]) -> ExampleImage:
    """Returns an image with what is said of it as columns hold it; where that cannot be, the image cannot be read."""
    try:
        return image._replace(fields=in_types(image.fields, columns))
    except UnreadableField as error:
        problem = image.member.problem or str(error)
        return ExampleImage(image.member._replace(problem=problem), {})
