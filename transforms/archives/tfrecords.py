"""TFRecord files of `tf.train.Example`: records one after the other, each with a checksum; read without TensorFlow.

A member is a record, named by the byte where it begins. Its image is a range of bytes of the file, and is read as such.
https://www.tensorflow.org/tutorials/load_data/tfrecord
"""

import functools
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO, Final, NamedTuple

from schemas.errors import DamagedArchive
from schemas.extents import Extent
from transforms.archives.archive import ArchiveFile, ArchiveKind, Member, Wanted, nothing
from transforms.archives.gzip_stream import GzipStreams, packed_place

# What `tf.slim`, `tfds` and most others call them.
_IMAGES: Final = ("image/encoded", "image")
_LABELS: Final = ("image/class/text", "image/class/label", "label")

_HEADER: Final = struct.Struct("<QI")
HEADER_BYTES: Final = _HEADER.size
_CHECKSUM: Final = struct.Struct("<I")
_GZIP: Final = b"\x1f\x8b"
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


class ExampleImage(NamedTuple):
    """The image of a record.

    Attributes:
        member: Where it is.
        label: Its label, or None.
    """

    member: Member
    label: str | None


def is_tfrecord(head: bytes) -> bool:
    """Whether a file that begins so is one of records: the length of the first has a checksum."""
    if len(head) < _HEADER.size:
        return False
    _, checksum = _HEADER.unpack_from(head)
    return int(checksum) == _masked_checksum(head[:8])


def example_images(archive: ArchiveFile, version: str, label: str | None = None) -> Iterator[ExampleImage]:
    """Yields the images of a file, in its order.

    Args:
        archive: The file.
        version: Its version.
        label: The feature that holds labels; one of those that usually do, if None.

    Raises:
        DamagedArchive: Where it cannot be read on, after the images that can be.
        OSError: What its file system raises if the storage is at fault.
    """
    keys = _LABELS if label is None else (label,)
    is_packed = archive.read_range(0, len(_GZIP)) == _GZIP
    with _STREAMS.of(archive, version).opened() if is_packed else archive.open() as file:
        for record in _records(file):
            yield _image_of(record, keys, version if is_packed else None)


def _records(file: BinaryIO) -> Iterator[Record]:
    offset = 0
    while header := file.read(_HEADER.size):
        if not is_tfrecord(header):
            raise DamagedArchive.of(f"there is no record at byte {offset:,}")
        length, _ = _HEADER.unpack(header)
        data = file.read(length)
        end = file.read(_CHECKSUM.size)
        if len(data) + len(end) < length + _CHECKSUM.size:
            raise DamagedArchive.of(f"it breaks off in the record at byte {offset:,}")
        yield Record(offset, data, *_CHECKSUM.unpack(end))
        offset += _HEADER.size + length + _CHECKSUM.size


def _image_of(record: Record, labels: Sequence[str], packed_in: str | None) -> ExampleImage:
    image, label, problem = _content_of(record, labels)
    place, size = None, len(image or b"")
    if image is not None:
        start = record.offset + _HEADER.size + record.data.find(image)
        place = str(Extent(start, size)) if packed_in is None else packed_place(start, size, packed_in)
    version = f"{record.checksum:08x}-{len(record.data)}"
    return ExampleImage(Member(f"{record.offset:015}", version, size, place, problem), label)


def _content_of(record: Record, labels: Sequence[str]) -> tuple[bytes | None, str | None, str | None]:
    """Returns the image of a record, its label, and why there is no image."""
    if _masked_checksum(record.data) != record.checksum:
        return None, None, "The record is damaged: its checksum is wrong."
    features = _features_of(record.data)
    if features is None:
        return None, None, "The record is no tf.train.Example."
    firsts = {name: values[0] for name, values in features.items() if values}
    image = next((value for value in map(firsts.get, _IMAGES) if isinstance(value, bytes)), None)
    label = next((_text(value) for value in map(firsts.get, labels) if value not in {None, b""}), None)
    return image, label, None if image is not None else f"The record has no feature {_IMAGES[0]}."


def _text(value: bytes | float) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


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
