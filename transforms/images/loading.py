"""Loading: refs of a shard in, batches of decoded pictures out. Pure of Beam.

A chain of iterators over chunks of a few files: remote files are fetched by threads that wait for the storage, decoders
put pictures into the memory of batches, and local files are read there, too. Memory is bounded by the windows between
them, whatever the shard's size.
"""

import collections
import concurrent.futures
import dataclasses
import functools
import math
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from schemas.errors import FailureCode, ImageError
from schemas.extents import EXTENT, Extent
from schemas.images import PLACE, PROBLEM, ImageRef, image_refs
from schemas.storage import ANYWHERE, Reach, member_uri
from schemas.threads import bounded_map
from transforms.decoding import DecodingRules
from transforms.images.augmented_images import AugmentedImages
from transforms.images.batches import (
    Admission,
    Admitted,
    BadImage,
    Batch,
    BatchSlots,
    DecodedImage,
    ImageFile,
    LoadedImage,
    UndecodableImage,
)
from transforms.images.decoder import Content, Decoded, DecodingTask, LocalFile, Undecoded
from transforms.images.decoder_processes import AnyDecoder, DecoderDied, DecoderPool
from transforms.images.fetching import Fetcher, lying_together
from transforms.runtime import MOST_READS, Meter, ReadWindow, windowed_map

# Files a message to a decoder, which share what a message costs: as many as make a megabyte of pixels between these
# two; fewer of large files, and of augmented images.
FILES_PER_CHUNK: Final = 8
SMALL_FILES_PER_CHUNK: Final = 32
BYTES_PER_CHUNK: Final = 2**20

# Chunks that are read, or wait, where one thread reads them.
CHUNKS_STREAMED: Final = 3

# Decoder processes that die over a picture before it is taken for the cause: one may be killed by chance.
MOST_DEATHS: Final = 4

_LOCAL: Final = "file://"

A = TypeVar("A")


@dataclasses.dataclass(frozen=True)
class LoadingPools:
    """What loads the pictures of a process.

    Attributes:
        fetching: Threads that read files.
        decoders: What decodes them.
        window: How many files are fetched at once.
    """

    fetching: concurrent.futures.Executor
    decoders: DecoderPool
    window: ReadWindow = dataclasses.field(default_factory=ReadWindow)

    @classmethod
    def start(cls, threads: int, decode_processes: int = 0) -> "LoadingPools":
        """Returns pools, and does not wait until they are ready.

        Args:
            threads: Threads that decode, where processes do not.
            decode_processes: Processes that decode; 0 for threads.
        """
        fetching = concurrent.futures.ThreadPoolExecutor(MOST_READS, "fetch")
        return cls(fetching, DecoderPool(threads, decode_processes))


@dataclasses.dataclass(frozen=True)
class LoadingRules:
    """How images are loaded.

    Attributes:
        decoding: How bytes become pixels.
        max_bytes: The most bytes of a file that are read.
        batch_size: Pictures a batch; a last batch of fewer is padded.
        reach: Which servers may be asked, and how long fetching one image may take.
    """

    decoding: DecodingRules
    max_bytes: int
    batch_size: int
    reach: Reach = ANYWHERE


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
    """Loads the images of a shard, ahead of the consumer of the batches.

    At most two chunks a decoder, or two batches if they are more, are held besides the batch that is filled, and the
    files that the window of reads has room for, or `CHUNKS_STREAMED` chunks. A chunk has at most `files_per_chunk`
    images.

    Args:
        shard: Refs.
        rules: How images are loaded.
        pools: What loads them.
        bad: Where the images that are no picture are put.
        meter: Measures bytes and decoding.
        is_wanted: Is asked once for each file, in the order of the shard; a file that is not wanted is not decoded.
        augmented_images: The images whose augmented copies follow them, if there are any.

    Yields:
        Batches in the order of the shard.
    """
    augmentation = augmented_images.augmentation if augmented_images else None
    task = DecodingTask(rules.decoding, rules.batch_size, augmentation)
    slots = BatchSlots(pools.decoders.memory, task.shape)
    admission = Admission(slots, is_wanted, augmented_images)
    loader = _Loader(pools, rules, task, admission, meter)
    if pools.decoders.in_processes and _are_local(shard):
        chunks = loader.local_chunks(shard)
    else:
        chunks = loader.streamed_chunks(shard) if _are_streamed(shard) else loader.fetched_chunks(shard)
    pictures_per_chunk = files_per_chunk(task) * task.rows_per_image
    ahead = max(2 * pools.decoders.size, -(-2 * rules.batch_size // pictures_per_chunk))
    loaded = bounded_map(pools.decoders.threads, loader.load, chunks, ahead)
    yield from slots.batches((image for chunk in loaded for image in chunk), bad)


@dataclasses.dataclass
class _Chunk:
    """Files of a shard that a decoder takes together.

    Attributes:
        files: Those that are to be decoded, and those that are bad; None until that is known.
        first: The row of the first of them, where the decoder reads them.
        refs: Where they are then.
        turn: Is set once the chunk before has its files.
        done: Is set once this one has.
        deaths: How many decoder processes have died over a picture, by its row.
    """

    files: list[Admitted | BadImage] | None
    first: int = 0
    refs: Sequence[ImageRef] = ()
    turn: threading.Event = dataclasses.field(default_factory=threading.Event)
    done: threading.Event = dataclasses.field(default_factory=threading.Event)
    deaths: collections.Counter[int] = dataclasses.field(default_factory=collections.Counter)


class _Loader:
    """Loads the chunks of a shard."""

    def __init__(
        self, pools: LoadingPools, rules: LoadingRules, task: DecodingTask, admission: Admission, meter: Meter
    ) -> None:
        self._pools = pools
        self._rules = rules
        self._task = task
        self._admission = admission
        self._meter = meter
        self._fetcher = Fetcher(rules.max_bytes, rules.reach, pools.window, meter)
        self._files_per_chunk = files_per_chunk(task)

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
        together = lying_together(image_refs(shard), self._rules.max_bytes)
        reads = ((one, one.size) for one in together)
        fetched = windowed_map(self._pools.fetching, self._fetcher.fetch_together, reads, self._pools.window)
        wanted = (admitted for files in fetched for file in files for admitted in self._admission.admit([file]))
        for admitted in _cut(wanted, self._files_per_chunk, _bytes_of):
            yield _Chunk(admitted)

    def streamed_chunks(self, shard: pa.RecordBatch) -> Iterator[_Chunk]:
        """Reads members that one thread reaches soonest, and yields those that are wanted."""
        together = _cut(enumerate(image_refs(shard)), self._files_per_chunk, lambda numbered: numbered[1].size or 0)
        with concurrent.futures.ThreadPoolExecutor(1, "stream") as reader:
            for files in bounded_map(reader, self._fetcher.fetch_all, together, CHUNKS_STREAMED):
                yield _Chunk(self._admission.admit(files))

    def load(self, chunk: _Chunk) -> list[LoadedImage]:
        """Returns the results of the files of a chunk that are wanted."""
        try:
            return self._pools.decoders.run(functools.partial(self._load, chunk))
        finally:
            chunk.done.set()

    def _load(self, chunk: _Chunk, decoder: AnyDecoder) -> list[LoadedImage]:
        if chunk.refs:
            contents = decoder.read(list(map(_local_file, chunk.refs)), self._rules.max_bytes)
            chunk.files = self._admitted(chunk, contents) if chunk.files is None else self._again(chunk, contents)
            chunk.done.set()
        return self._decode(chunk, decoder)

    def _admitted(self, chunk: _Chunk, contents: Sequence[Content | None]) -> list[Admitted | BadImage]:
        found = [content.size for content in contents if content]
        self._meter.read(sum(found), len(found))
        rows = range(chunk.first, chunk.first + len(contents))
        # What a decoder cannot read is fetched as any file is: with several attempts, and the reason if it fails.
        missing = [(row, ref) for row, ref, content in zip(rows, chunk.refs, contents, strict=True) if content is None]
        fetched = self._pools.fetching.map(self._fetcher.fetch, missing)
        files = [
            next(fetched) if content is None else ImageFile(row, content)
            for row, content in zip(rows, contents, strict=True)
        ]
        chunk.turn.wait()
        return self._admission.admit(files)

    def _again(self, chunk: _Chunk, contents: Sequence[Content | None]) -> list[Admitted | BadImage]:
        """Returns what was admitted, as it is now that it was read a second time: its decoder had died."""
        files: list[Admitted | BadImage] = []
        for file in chunk.files or ():
            if isinstance(file, Admitted) and file.file.data is None:
                row = file.file.row
                content = contents[row - chunk.first]
                now = ImageFile(row, content) if content else self._fetcher.fetch((row, chunk.refs[row - chunk.first]))
                files.append(now if isinstance(now, BadImage) else dataclasses.replace(file, file=now))
            else:
                files.append(file)
        return files

    def _decode(self, chunk: _Chunk, decoder: AnyDecoder) -> list[LoadedImage]:
        files = chunk.files or []
        wanted = [file for file in files if isinstance(file, Admitted)]
        undecoded = [self._undecoded(file, chunk) for file in wanted]
        try:
            decoded = decoder.decode(undecoded, self._task) if undecoded else []
        except DecoderDied as death:
            if death.picture is not None:
                number, seconds = death.picture
                self._blame(chunk, wanted[number], seconds)
            raise
        self._meter.decoded(len(decoded), sum(one.seconds for one in decoded))
        results = iter(decoded)
        return [file if isinstance(file, BadImage) else _decoded_image(file, next(results)) for file in files]

    def _blame(self, chunk: _Chunk, admitted: Admitted, seconds: float) -> None:
        """Takes a file for bad over which decoder processes die."""
        file, timeout = admitted.file, self._task.rules.limits.timeout
        chunk.deaths[file.row] += 1
        if seconds >= timeout:
            error = ImageError(
                FailureCode.DECODER_TIMEOUT,
                f"Decoding takes more than {timeout} seconds of processor time (--decode_timeout).",
            )
        elif chunk.deaths[file.row] >= MOST_DEATHS:
            error = ImageError(
                FailureCode.DECODER_CRASHED, f"{MOST_DEATHS} processes in a row have died while they decoded the file."
            )
        else:
            return
        bad = BadImage(file.row, error, file.content.sha256)
        chunk.files = [bad if one is admitted else one for one in chunk.files or ()]

    def _undecoded(self, admitted: Admitted, chunk: _Chunk) -> Undecoded:
        file = admitted.file
        data = file.row - chunk.first if file.data is None else file.data
        return Undecoded(data, file.content.sha256, self._admission.destinations(admitted))


def files_per_chunk(task: DecodingTask) -> int:
    """Returns how many images a message to a decoder has at the most."""
    pictures = BYTES_PER_CHUNK // math.prod(task.shape[1:])
    return max(1, min(max(pictures, FILES_PER_CHUNK), SMALL_FILES_PER_CHUNK) // task.rows_per_image)


def _decoded_image(admitted: Admitted, decoded: Decoded) -> DecodedImage | UndecodableImage:
    if isinstance(decoded.size, ImageError):
        return UndecodableImage(admitted, decoded.size)
    return DecodedImage(admitted, *decoded.size)


def _bytes_of(file: Admitted | BadImage) -> int:
    return 0 if isinstance(file, BadImage) else file.file.content.size


def _are_local(shard: pa.RecordBatch) -> bool:
    """Whether all images are files of this machine, or parts of such files that are read as they are."""
    files = pc.starts_with(shard.column("uri"), _LOCAL)
    members = pc.fill_null(pc.match_substring_regex(shard.column(PLACE), EXTENT), False)
    local = pc.match_substring(shard.column("uri"), f"::{_LOCAL}")
    return bool(pc.all(pc.or_(files, pc.and_(members, local))).as_py())


def _are_streamed(shard: pa.RecordBatch) -> bool:
    """Whether all images are members that are reached through those before them: threads would only wait in line."""
    places = shard.filter(pc.is_null(shard.column(PROBLEM))).column(PLACE)
    return places.null_count == 0 and not pc.any(pc.match_substring_regex(places, EXTENT)).as_py()


def _local_file(ref: ImageRef) -> LocalFile:
    if ref.problem is not None:
        return LocalFile("", None)  # There is none, and fetching the image will say why.
    member = member_uri(ref.uri)
    if member is None or ref.place is None:
        return LocalFile(ref.uri.removeprefix(_LOCAL), ref.size)
    return LocalFile(member.archive_uri.removeprefix(_LOCAL), ref.size, Extent.parse(ref.place))


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
