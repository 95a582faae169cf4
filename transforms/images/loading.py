"""Loading: refs of a shard in, batches of decoded pictures out. Pure of Beam.

A chain of iterators over chunks of a few files: remote files are fetched by threads that wait for the storage, decoders
put pictures into the memory of batches, and local files are read there, too. Memory is bounded by the windows between
them, whatever the shard's size.
"""

import collections
import concurrent.futures
import dataclasses
import functools
import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.errors import ImageError
from schemas.images import ImageRef, image_refs
from transforms.images.augmented_images import AugmentedImages
from transforms.images.decoder import Content, Decoded, DecodingTask, Destination, LocalFile, Undecoded
from transforms.images.decoder_processes import AnyDecoder, DecoderPool
from transforms.images.decoding import DecodingRules
from transforms.images.fetching import fetch_image
from transforms.images.pixel_memory import PixelMemory
from transforms.runtime import Meter

# Files fetched at once. A file of 100 KB from a bucket takes some 50 ms: 16 at a time are 300 a second.
FETCH_THREADS: Final = 16

# Files a message to a decoder, which share what a message costs; fewer of large files, and of augmented images.
FILES_PER_CHUNK: Final = 8
BYTES_PER_CHUNK: Final = 4 * 2**20

_LOCAL: Final = "file://"

A = TypeVar("A")
B = TypeVar("B")


@dataclasses.dataclass(frozen=True, slots=True)
class ImageFile:
    """The contents of an image file.

    Attributes:
        row: The row of the shard that it is.
        content: SHA-256 and number of its bytes.
        data: Its bytes; None where a decoder holds them.
    """

    row: int
    content: Content
    data: bytes | None = None

    @property
    def sha256(self) -> str:
        """SHA-256 of its bytes, in hex."""
        return self.content.sha256


@dataclasses.dataclass(frozen=True, slots=True)
class BadImage:
    """An image that cannot be processed.

    Attributes:
        row: The row of the shard that it is.
        error: Why.
        sha256: SHA-256 of the file's bytes in hex, where they could be had.
    """

    row: int
    error: ImageError
    sha256: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class LoadedPicture:
    """A decoded picture of a shard.

    Attributes:
        row: The row of the shard that it is.
        width: Pixels before resizing, upright.
        height: Pixels before resizing, upright.
        sha256: SHA-256 of the file's bytes, in hex.
        augmentation: 0 for the picture itself, else the number of its random copy.
    """

    row: int
    width: int
    height: int
    sha256: str
    augmentation: int = 0


@dataclasses.dataclass
class Batch:
    """Pictures that go through the conv base together.

    Attributes:
        pixels: uint8 [batch_size, H, W, 3]; what is beyond `len(pictures)` is padding.
        pictures: What was decoded.
    """

    pixels: np.ndarray
    pictures: list[LoadedPicture]

    @property
    def rows(self) -> list[int]:
        """The rows of the shard that the pictures are."""
        return [loaded.row for loaded in self.pictures]


@dataclasses.dataclass(frozen=True)
class LoadingPools:
    """What loads the pictures of a process.

    Attributes:
        fetching: Threads that read files.
        decoders: What decodes them.
    """

    fetching: concurrent.futures.Executor
    decoders: DecoderPool

    @classmethod
    def start(cls, threads: int, decode_processes: int = 0) -> "LoadingPools":
        """Returns pools, and does not wait until they are ready.

        Args:
            threads: Threads that decode, where processes do not.
            decode_processes: Processes that decode; 0 for threads.
        """
        fetching = concurrent.futures.ThreadPoolExecutor(FETCH_THREADS, "fetch")
        return cls(fetching, DecoderPool(threads, decode_processes))


@dataclasses.dataclass(frozen=True)
class LoadingRules:
    """How images are loaded.

    Attributes:
        decoding: How bytes become pixels.
        max_bytes: The most bytes of a file that are read.
        batch_size: Pictures a batch; a last batch of fewer is padded.
    """

    decoding: DecodingRules
    max_bytes: int
    batch_size: int


def load_batches(
    shard: pa.RecordBatch,
    rules: LoadingRules,
    pools: LoadingPools,
    bad: list[BadImage],
    meter: Meter,
    *,
    is_wanted: Callable[[ImageFile], bool] = lambda _: True,
    augmented_images: AugmentedImages | None = None,
) -> Iterator[Batch]:
    """Loads the images of a shard, ahead of whoever takes the batches.

    At most two chunks a decoder, or two batches if they are more, are held besides the batch that is filled, and
    `FETCH_THREADS` files that are fetched. A chunk has at most `FILES_PER_CHUNK` pictures, or one image and its copies.

    Args:
        shard: Refs.
        rules: How images are loaded.
        pools: What loads them.
        bad: Where the images that are no picture are put.
        meter: Measures bytes and decoding.
        is_wanted: Is asked once for each file, in the order of the shard; a file that is not wanted is not decoded.
        augmented_images: The images whose random copies follow them, if there are any.

    Yields:
        Batches in the order of the shard.
    """
    augmentation = augmented_images.augmentation if augmented_images else None
    task = DecodingTask(rules.decoding, rules.batch_size, augmentation)
    slots = _Slots(pools.decoders.memory, task.shape)
    admission = _Admission(slots, is_wanted, augmented_images)
    loader = _Loader(pools, rules.max_bytes, task, admission, meter)
    local = pools.decoders.in_processes and pc.all(pc.starts_with(shard.column("uri"), _LOCAL)).as_py()
    chunks = loader.local_chunks(shard) if local else loader.fetched_chunks(shard)
    ahead = max(2 * pools.decoders.size, -(-2 * rules.batch_size // FILES_PER_CHUNK))
    loaded = bounded_map(pools.decoders.threads, loader.load, chunks, ahead)
    yield from slots.batches((outcome for outcomes in loaded for outcome in outcomes), bad)


@dataclasses.dataclass(frozen=True, slots=True)
class _Admitted:
    """A file that is decoded: its first slot, and how many slots its picture and its random copies take."""

    file: ImageFile
    slot: int
    pictures: int


@dataclasses.dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of a file that was admitted: its picture as it is before resizing."""

    admitted: _Admitted
    width: int
    height: int


@dataclasses.dataclass
class _Chunk:
    """Files of a shard that a decoder takes together.

    Attributes:
        files: Those that are to be decoded, and those that are bad; None until that is known.
        first: The row of the first of them, where the decoder reads them.
        refs: Where they are then.
        turn: Is set once the chunk before has its files.
        done: Is set once this one has.
    """

    files: list[_Admitted | BadImage] | None
    first: int = 0
    refs: Sequence[ImageRef] = ()
    turn: threading.Event = dataclasses.field(default_factory=threading.Event)
    done: threading.Event = dataclasses.field(default_factory=threading.Event)


class _Slots:
    """Places for the pictures of a shard, in batches one after the other."""

    def __init__(self, memory: PixelMemory, shape: tuple[int, int, int, int]) -> None:
        self._memory = memory
        self._shape = shape
        self._taken = 0
        self._offsets: list[int] = []
        self._arrays: dict[int, np.ndarray] = {}

    def take(self, pictures: int) -> int:
        """Takes slots for pictures that follow each other, and returns the number of the first."""
        first, self._taken = self._taken, self._taken + pictures
        while len(self._offsets) * self._shape[0] < self._taken:
            offset, self._arrays[len(self._offsets)] = self._memory.take(self._shape)
            self._offsets.append(offset)
        return first

    def destination(self, slot: int) -> Destination:
        """Returns where a slot is."""
        batch, index = divmod(slot, self._shape[0])
        return Destination(self._offsets[batch], index)

    def batches(self, outcomes: Iterable[_Outcome | BadImage], bad: list[BadImage]) -> Iterator[Batch]:
        """Yields the pictures as batches, and puts what is bad aside.

        Pictures that follow a bad one move up: its slot is in the midst of a batch.
        """
        done = 0
        pictures: list[LoadedPicture] = []
        for outcome in outcomes:
            if isinstance(outcome, BadImage):
                bad.append(outcome)
                continue
            for copy in range(outcome.admitted.pictures):
                self._move(outcome.admitted.slot + copy, done * self._shape[0] + len(pictures))
                file = outcome.admitted.file
                pictures.append(LoadedPicture(file.row, outcome.width, outcome.height, file.content.sha256, copy))
                if len(pictures) == self._shape[0]:
                    yield Batch(self._arrays.pop(done), pictures)
                    done, pictures = done + 1, []
        if pictures:
            pixels = self._arrays.pop(done)
            pixels[len(pictures) :] = 0
            yield Batch(pixels, pictures)

    def _move(self, slot: int, to: int) -> None:
        if slot == to:
            return
        (batch, index), (to_batch, to_index) = (divmod(number, self._shape[0]) for number in (slot, to))
        self._arrays[to_batch][to_index] = self._arrays[batch][index]


class _Admission:
    """Decides, in the order of the shard, which files are decoded, and where their pictures go."""

    def __init__(
        self, slots: _Slots, is_wanted: Callable[[ImageFile], bool], augmented_images: AugmentedImages | None
    ) -> None:
        self._slots = slots
        self._is_wanted = is_wanted
        self._augmented_images = augmented_images

    def admit(self, files: Iterable[ImageFile | BadImage]) -> list[_Admitted | BadImage]:
        """Returns the files that are to be decoded, and those that are bad."""
        return [
            file if isinstance(file, BadImage) else self._admitted(file)
            for file in files
            if isinstance(file, BadImage) or self._is_wanted(file)
        ]

    def _admitted(self, file: ImageFile) -> _Admitted:
        pictures = self._augmented_images.rows_of(file.row, file.sha256) if self._augmented_images else 1
        return _Admitted(file, self._slots.take(pictures), pictures)

    def destinations(self, admitted: _Admitted) -> list[Destination]:
        """Returns where the picture of a file and its random copies go."""
        return [self._slots.destination(admitted.slot + copy) for copy in range(admitted.pictures)]


class _Loader:
    """Loads the chunks of a shard."""

    def __init__(
        self, pools: LoadingPools, max_bytes: int, task: DecodingTask, admission: _Admission, meter: Meter
    ) -> None:
        self._pools = pools
        self._max_bytes = max_bytes
        self._task = task
        self._admission = admission
        self._meter = meter
        self._files_per_chunk = max(1, FILES_PER_CHUNK // task.rows_per_image)

    def local_chunks(self, shard: pa.RecordBatch) -> Iterator[_Chunk]:
        """Yields files that decoders read."""
        turn = threading.Event()
        turn.set()
        first = 0
        for refs in _cut(image_refs(shard), self._files_per_chunk, lambda ref: ref.size or 0):
            chunk = _Chunk(None, first, refs, turn)
            yield chunk
            first, turn = first + len(refs), chunk.done

    def fetched_chunks(self, shard: pa.RecordBatch) -> Iterator[_Chunk]:
        """Fetches files, and yields those that are wanted."""
        files = bounded_map(self._pools.fetching, self._fetch, enumerate(image_refs(shard)), FETCH_THREADS)
        wanted = (admitted for file in files for admitted in self._admission.admit([file]))
        for admitted in _cut(wanted, self._files_per_chunk, _bytes_of):
            yield _Chunk(admitted)

    def load(self, chunk: _Chunk) -> list[_Outcome | BadImage]:
        """Returns what becomes of the files of a chunk that are wanted."""
        try:
            return self._pools.decoders.run(functools.partial(self._load, chunk))
        finally:
            chunk.done.set()

    def _load(self, chunk: _Chunk, decoder: AnyDecoder) -> list[_Outcome | BadImage]:
        if chunk.refs:
            contents = decoder.read([LocalFile(_path(ref), ref.size) for ref in chunk.refs], self._max_bytes)
            chunk.files = self._admitted(chunk, contents) if chunk.files is None else self._again(chunk, contents)
            chunk.done.set()
        return self._decode(chunk, decoder)

    def _admitted(self, chunk: _Chunk, contents: Sequence[Content | None]) -> list[_Admitted | BadImage]:
        self._meter.read(sum(content.size for content in contents if content))
        rows = range(chunk.first, chunk.first + len(contents))
        # What a decoder cannot read is fetched as any file is: with several attempts, and the reason if it fails.
        missing = [(row, ref) for row, ref, content in zip(rows, chunk.refs, contents, strict=True) if content is None]
        fetched = self._pools.fetching.map(self._fetch, missing)
        files = [
            next(fetched) if content is None else ImageFile(row, content)
            for row, content in zip(rows, contents, strict=True)
        ]
        chunk.turn.wait()
        return self._admission.admit(files)

    def _again(self, chunk: _Chunk, contents: Sequence[Content | None]) -> list[_Admitted | BadImage]:
        """Returns what was admitted, as it is now that it was read a second time: its decoder had died."""
        files: list[_Admitted | BadImage] = []
        for file in chunk.files or ():
            if isinstance(file, _Admitted) and file.file.data is None:
                row = file.file.row
                content = contents[row - chunk.first]
                now = ImageFile(row, content) if content else self._fetch((row, chunk.refs[row - chunk.first]))
                files.append(now if isinstance(now, BadImage) else dataclasses.replace(file, file=now))
            else:
                files.append(file)
        return files

    def _fetch(self, numbered: tuple[int, ImageRef]) -> ImageFile | BadImage:
        row, ref = numbered
        try:
            data = fetch_image(ref, self._max_bytes)
        except ImageError as error:
            return BadImage(row, error)
        self._meter.read(len(data))
        return ImageFile(row, Content(hashlib.sha256(data).hexdigest(), len(data)), data)

    def _decode(self, chunk: _Chunk, decoder: AnyDecoder) -> list[_Outcome | BadImage]:
        files = chunk.files or []
        undecoded = [self._undecoded(file, chunk) for file in files if isinstance(file, _Admitted)]
        decoded = decoder.decode(undecoded, self._task) if undecoded else []
        self._meter.decoded(len(decoded), sum(one.seconds for one in decoded))
        results = iter(decoded)
        return [file if isinstance(file, BadImage) else _outcome(file, next(results)) for file in files]

    def _undecoded(self, admitted: _Admitted, chunk: _Chunk) -> Undecoded:
        file = admitted.file
        data = file.row - chunk.first if file.data is None else file.data
        return Undecoded(data, file.content.sha256, self._admission.destinations(admitted))


def _outcome(admitted: _Admitted, decoded: Decoded) -> _Outcome | BadImage:
    if isinstance(decoded.size, ImageError):
        return BadImage(admitted.file.row, decoded.size, admitted.file.content.sha256)
    return _Outcome(admitted, *decoded.size)


def _bytes_of(file: _Admitted | BadImage) -> int:
    return 0 if isinstance(file, BadImage) else file.file.content.size


def _path(ref: ImageRef) -> str:
    return ref.uri.removeprefix(_LOCAL)


def _cut(items: Iterable[A], most: int, size: Callable[[A], int]) -> Iterator[list[A]]:
    """Cuts items into lists of at most `most`, each ended by the one with which it has `BYTES_PER_CHUNK`."""
    chunk: list[A] = []
    size_of_chunk = 0
    for item in items:
        chunk.append(item)
        size_of_chunk += size(item)
        if len(chunk) == most or size_of_chunk >= BYTES_PER_CHUNK:
            yield chunk
            chunk, size_of_chunk = [], 0
    if chunk:
        yield chunk


def bounded_map(
    pool: concurrent.futures.Executor, function: Callable[[A], B], items: Iterable[A], ahead: int
) -> Iterator[B]:
    """Maps in a pool, in order, with at most `ahead` results computed or waiting (Python 3.14: `map(buffersize=)`)."""
    waiting: collections.deque[concurrent.futures.Future[B]] = collections.deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
