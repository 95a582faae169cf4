"""TFRecord files of `tf.train.Example`: records one after the other, each with a checksum; read without TensorFlow.

A member is a record, named by the byte where it begins. Its image is a range of bytes of the file, and is read as such.
https://www.tensorflow.org/tutorials/load_data/tfrecord
"""

import functools
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO, Final, NamedTuple

import pyarrow as pa

from schemas.errors import DamagedArchive, InvalidInput, nearest_names, shown, shown_names
from schemas.extents import Extent
from transforms.archives.archive import ArchiveFile, ArchiveKind, Member, Wanted, nothing
from transforms.archives.fields import FIRST_BYTES, FIRST_SAMPLES, LABEL, SPLIT, Fields, column_fields, scalar_fields
from transforms.archives.gzip_stream import GzipStreams, packed_place
from transforms.manifests import text_of

# What `tf.slim`, `tfds` and most others call them.
_IMAGES: Final = ("image/encoded", "image")
_LABELS: Final = ("image/class/text", "image/class/label", "label")

_HEADER: Final = struct.Struct("<QI")
HEADER_BYTES: Final = _HEADER.size
_CHECKSUM: Final = struct.Struct("<I")
_GZIP: Final = b"\x1f\x8b"
# A record is held while it is listed; more than twice the largest image that is read.
_MOST_RECORD_BYTES: Final = 2**28
_STREAMS: Final = GzipStreams()
_MASK: Final = 0xA282EAD8


class Record(NamedTuple):
    """A record of a file.

    Attributes:
        offset: The byte where it begins, with its header.
        data: Its bytes.
        checksum: The masked CRC-32C of these, as it stands behind them.
    """

    offset: int
    data: bytes
    checksum: int


class RecordFeatures(NamedTuple):
    """Which features of records have a meaning.

    Attributes:
        label: The one that holds labels, if it was named; else one of those that usually do.
        split: The one that holds splits, if it was named; else `split`, where there is one.
    """

    label: str | None = None
    split: str | None = None


class ExampleImage(NamedTuple):
    """The image of a record.

    Attributes:
        member: Where it is.
        fields: What the record says of it, by column: its label, its split, and further features of one value.
    """

    member: Member
    fields: Fields


def is_tfrecord(head: bytes) -> bool:
    """Whether a file that begins so is one of records: the length of the first has a checksum."""
    if len(head) < _HEADER.size:
        return False
    _, checksum = _HEADER.unpack_from(head)
    return int(checksum) == _masked_checksum(head[:8])


def example_images(
    archive: ArchiveFile, version: str, features: RecordFeatures | None = None
) -> Iterator[ExampleImage]:
    """Yields the images of a file, in its order.

    Args:
        archive: The file.
        version: Its version.
        features: Which features have a meaning.

    Raises:
        DamagedArchive: Where it cannot be read on, after the images that can be.
        OSError: What its file system raises if the storage is at fault.
    """
    is_packed = archive.head(len(_GZIP)) == _GZIP
    with _STREAMS.of(archive, version).opened() if is_packed else archive.open() as file:
        for record in _records(file):
            yield _image_of(record, features or RecordFeatures(), version if is_packed else None)


def record_columns(archive_uri: str, features: RecordFeatures) -> tuple[pa.Field, ...]:
    """Returns the columns of which the records of a file say something, by the first of them.

    Args:
        archive_uri: The file.
        features: Which features have a meaning.

    Returns:
        Fields, `label` and `split` among them.

    Raises:
        InvalidInput: If none of the records has a feature that was named.
        OSError: What its file system raises if it is not there, or the storage is at fault.
    """
    archive = ArchiveFile(archive_uri)
    samples: list[Fields] = []
    size = 0
    try:
        for image in example_images(archive, archive.version(), features):
            samples.append(image.fields)
            size += image.member.size or 0
            if len(samples) > FIRST_SAMPLES or size > FIRST_BYTES:
                break
    except DamagedArchive:
        pass  # What comes before is enough, or its listing will say so.
    columns = tuple(column_fields(samples))
    for meaning, name in features._asdict().items():
        if name is not None and samples and meaning not in {field.name for field in columns}:
            raise InvalidInput(_missing_feature(archive_uri, meaning, name, [field.name for field in columns]))
    return columns


def _missing_feature(uri: str, meaning: str, name: str, names: Sequence[str]) -> str:
    found = shown_names(names) or "none but its images"
    nearest = nearest_names(name, names).rstrip("?")
    return (
        f"No record at the beginning of {shown(uri)} has a feature {shown(name, 40)!r} (of one value they have: "
        f"{found}){nearest}; --{meaning}_column=NAME names the one that holds the {meaning}s."
    )


def _records(file: BinaryIO) -> Iterator[Record]:
    offset = 0
    while header := file.read(_HEADER.size):
        if not is_tfrecord(header):
            raise DamagedArchive.of(f"there is no record at byte {offset:,}")
        length, _ = _HEADER.unpack(header)
        if length > _MOST_RECORD_BYTES:
            raise DamagedArchive.of(f"the record at byte {offset:,} is said to have {length:,} bytes")
        data = file.read(length)
        end = file.read(_CHECKSUM.size)
        if len(data) + len(end) < length + _CHECKSUM.size:
            raise DamagedArchive.of(f"it breaks off in the record at byte {offset:,}")
        yield Record(offset, data, *_CHECKSUM.unpack(end))
        offset += _HEADER.size + length + _CHECKSUM.size


def _image_of(record: Record, features: RecordFeatures, packed_in: str | None) -> ExampleImage:
    image, fields, problem = _content_of(record, features)
    place, size = None, len(image or b"")
    if image is not None:
        start = record.offset + _HEADER.size + record.data.find(image)
        place = str(Extent(start, size)) if packed_in is None else packed_place(start, size, packed_in)
    version = f"{record.checksum:08x}-{len(record.data)}"
    return ExampleImage(Member(f"{record.offset:015}", version, size, place, problem), fields)


def _content_of(record: Record, features: RecordFeatures) -> tuple[bytes | None, Fields, str | None]:
    """Returns the image of a record, what it says of it, and why there is no image."""
    if _masked_checksum(record.data) != record.checksum:
        return None, {}, "The record is damaged: its checksum is wrong."
    found = _features_of(record.data)
    if found is None:
        return None, {}, "The record is no tf.train.Example."
    firsts = {name: values[0] for name, values in found.items() if values}
    image = next((value for value in map(firsts.get, _IMAGES) if isinstance(value, bytes)), None)
    return image, _fields(found, features), None if image is not None else f"The record has no feature {_IMAGES[0]}."


def _fields(found: Mapping[str, Sequence[Any]], features: RecordFeatures) -> Fields:
    """Returns what a record says of its image; features of several values, and bytes that are no text, are left out."""
    meanings = {LABEL: _LABELS if features.label is None else (features.label,), SPLIT: (features.split or SPLIT,)}
    filled = {name for name, values in found.items() if values and values[0] != b""}
    used = {meaning: next((name for name in names if name in filled), None) for meaning, names in meanings.items()}
    told = {meaning: _text(found[name][0]) for meaning, name in used.items() if name is not None}
    without = {*used.values(), *meanings, *_IMAGES}
    # The map that they stand in has no order.
    others = {name: _scalar(found[name]) for name in sorted(found) if name not in without}
    return {**told, **dict(scalar_fields(others))}


def _scalar(values: Sequence[Any]) -> object:
    """Returns the value of a feature that has one, or None if it has none; what a column cannot hold as it is."""
    if len(values) > 1:
        return values
    value = values[0] if values else None
    try:
        return value.decode() if isinstance(value, bytes) else value
    except UnicodeDecodeError:
        return value


def _text(value: bytes | float) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else text_of(value)


def _features_of(data: bytes) -> Mapping[str, Sequence[Any]] | None:
    """Returns the values of an example's features, or None if it is no example."""
    from google.protobuf.message import DecodeError

    example = _example_class()()
    try:
        example.ParseFromString(data)
    except DecodeError:
        return None
    return {
        name: getattr(feature, kind).value
        for name, feature in example.features.feature.items()
        if (kind := feature.WhichOneof("kind"))
    }


@functools.cache
def _example_class() -> Any:
    """Makes the class of `tf.train.Example`: its own module would import TensorFlow."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="convbase/example.proto", package="convbase", syntax="proto3")
    kinds = descriptor_pb2.FieldDescriptorProto
    for name, kind in (("Bytes", kinds.TYPE_BYTES), ("Float", kinds.TYPE_FLOAT), ("Int64", kinds.TYPE_INT64)):
        values = file.message_type.add(name=f"{name}List")
        values.field.add(name="value", number=1, label=kinds.LABEL_REPEATED, type=kind)
    feature = file.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    for number, name in enumerate(("bytes", "float", "int64"), 1):
        type_name = f".convbase.{name.capitalize()}List"
        feature.field.add(
            name=f"{name}_list", number=number, label=kinds.LABEL_OPTIONAL, type=kinds.TYPE_MESSAGE,
            type_name=type_name, oneof_index=0,
        )  # fmt: skip
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry", options=descriptor_pb2.MessageOptions(map_entry=True))
    entry.field.add(name="key", number=1, label=kinds.LABEL_OPTIONAL, type=kinds.TYPE_STRING)
    entry.field.add(
        name="value", number=2, label=kinds.LABEL_OPTIONAL, type=kinds.TYPE_MESSAGE, type_name=".convbase.Feature"
    )
    features.field.add(
        name="feature", number=1, label=kinds.LABEL_REPEATED, type=kinds.TYPE_MESSAGE,
        type_name=".convbase.Features.FeatureEntry",
    )  # fmt: skip
    example = file.message_type.add(name="Example")
    example.field.add(
        name="features", number=1, label=kinds.LABEL_OPTIONAL, type=kinds.TYPE_MESSAGE, type_name=".convbase.Features"
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("convbase.Example"))


def _masked_checksum(data: bytes) -> int:
    """Returns the masked CRC-32C of some bytes, as TFRecord files have it."""
    import google_crc32c

    checksum = int(google_crc32c.value(data))
    return ((checksum >> 15 | checksum << 17) + _MASK) & 0xFFFFFFFF


class TFRecords(ArchiveKind):
    """TFRecord files, as they are or compressed by gzip."""

    def members(self, archive: ArchiveFile, version: str, _wants: Wanted = nothing) -> Iterator[Member]:
        """Yields the images; the version of one is the checksum and size of its record."""
        yield from (image.member for image in example_images(archive, version))

    def read(self, archive: ArchiveFile, place: str, max_bytes: int) -> bytes:
        """Reads an image."""
        return _STREAMS.read(archive, place, max_bytes)
