"""Pictures: the images of a listing, read and looked at once, held as pixels where they fit in memory."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np
import pyarrow as pa

from schemas.errors import ImageError, RunFailed, first_line
from schemas.tables import AUGMENTATION
from schemas.threads import bounded_map
from transforms.images import BadImage, Batch, LoadingPools, LoadingRules, load_batches
from transforms.planning import first_occurrences, one_batch
from transforms.runtime import PROGRESS, Meter
from transforms.shuffle import in_reading_order
from transforms.sources import IgnoredFiles, ListingRules, Source, list_source

PICTURES_PER_BATCH: Final = 32

# Columns that the pictures have of their own, whatever a manifest says there.
_OWN_COLUMNS: Final = ("sha256", AUGMENTATION)


@dataclasses.dataclass(frozen=True)
class LeftOut:
    """An image that cannot be used.

    Attributes:
        uri: Where it is.
        error: Why.
    """

    uri: str
    error: ImageError


@dataclasses.dataclass(frozen=True)
class Pictures:
    """Images that can be read.

    Attributes:
        refs: A row an image: `uri`, `label`, `split`, the further columns of its manifest, and `sha256` of its bytes.
        rules: How they become pixels.
        pools: The threads that read and change them.
        held: uint8 [n, H, W, 3]; None where they are read again each time.
        max_failure_ratio: The greatest share of bad images, 0 to 1, of each reading.
        left_out: What could not be read; grows where a picture that was there is no longer.
    """

    refs: pa.RecordBatch
    rules: LoadingRules
    pools: LoadingPools
    held: np.ndarray | None
    max_failure_ratio: float
    left_out: list[LeftOut]

    def __len__(self) -> int:
        return int(self.refs.num_rows)

    def batches(
        self,
        numbers: np.ndarray,
        batch_size: int,
        change: Callable[[np.ndarray, str], np.ndarray] = lambda pixels, _: pixels,
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields pictures in batches, of which only the last may be smaller.

        Args:
            numbers: int64 [n], the rows of `refs`, in the order in which they are wanted.
            batch_size: Pictures a batch.
            change: What becomes of a picture, uint8 [H, W, 3], and the SHA-256 of its file; called in threads.

        Yields:
            uint8 [b, H, W, 3], and int64 [b], the rows of `refs`.

        Raises:
            RunFailed: If too many can no longer be read.
        """
        sha256 = self.refs.column("sha256")

        def changed(numbered: tuple[int, np.ndarray]) -> tuple[int, np.ndarray]:
            number, pixels = numbered
            return number, change(pixels, sha256[number].as_py())

        ahead = batch_size + PICTURES_PER_BATCH
        found: list[tuple[int, np.ndarray]] = []
        for numbered in bounded_map(self.pools.decoders.threads, changed, self._pixels(numbers), ahead):
            found.append(numbered)
            if len(found) == batch_size:
                yield _stacked(found)
                found = []
        if found:
            yield _stacked(found)

    def _pixels(self, numbers: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        if self.held is not None:
            yield from ((int(number), self.held[number]) for number in numbers)
            return
        left_out: list[LeftOut] = []
        for batch in _load(self.refs.take(pa.array(numbers)), self.rules, self.pools, self.max_failure_ratio, left_out):
            for loaded, pixels in zip(batch.pictures, batch.pixels, strict=False):
                yield int(numbers[loaded.row]), pixels
        known = {image.uri for image in self.left_out}
        self.left_out.extend(image for image in left_out if image.uri not in known)


def _stacked(found: Sequence[tuple[int, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    return np.stack([pixels for _, pixels in found]), np.array([number for number, _ in found])


def list_images(sources: Sequence[Source], rules: ListingRules) -> pa.RecordBatch:
    """Lists the images of sources, each once, in the order of reading: folders are listed in no order of their own.

    Raises:
        InvalidInput: If a manifest has a row without a URI, or cannot be read.
        OSError: If a folder cannot be listed.
    """
    ignored = IgnoredFiles()
    batches = [batch for source in sources for batch in list_source(source, rules, ignored)]
    table = pa.Table.from_batches(batches, rules.schema)
    table = table.drop_columns([name for name in _OWN_COLUMNS if name in table.column_names])
    return in_reading_order(one_batch(table.take(first_occurrences(table["uri"]))))


def read_pictures(
    refs: pa.RecordBatch, rules: LoadingRules, pools: LoadingPools, memory_bytes: int, max_failure_ratio: float
) -> Pictures:
    """Reads every image once, keeps the pixels where all fit, and leaves out what is no picture.

    Args:
        refs: The images.
        rules: How they become pixels.
        pools: The threads that read them.
        memory_bytes: The most bytes of pixels that are held.
        max_failure_ratio: The greatest share of bad images, 0 to 1.

    Raises:
        RunFailed: If more of them are bad, or the machine is at its limit.
    """
    shape = (refs.num_rows, rules.decoding.height, rules.decoding.width, 3)
    held = np.empty(shape, np.uint8) if int(np.prod(shape)) <= memory_bytes else None
    left_out: list[LeftOut] = []
    rows: list[int] = []
    sha256: list[str] = []
    PROGRESS.add(planned=refs.num_rows)
    for batch in _load(refs, rules, pools, max_failure_ratio, left_out):
        if held is not None:
            held[len(rows) : len(rows) + len(batch.rows)] = batch.pixels[: len(batch.rows)]
        rows += batch.rows
        sha256 += [loaded.sha256 for loaded in batch.pictures]
        PROGRESS.add(extracted=len(batch.rows))
    PROGRESS.add(failed=len(left_out))
    good = refs.take(pa.array(rows, pa.int64())).append_column("sha256", pa.array(sha256, pa.string()))
    return Pictures(good, rules, pools, None if held is None else held[: len(rows)], max_failure_ratio, left_out)


def _load(
    refs: pa.RecordBatch, rules: LoadingRules, pools: LoadingPools, max_failure_ratio: float, left_out: list[LeftOut]
) -> Iterator[Batch]:
    """Loads images, and says which are bad; too many bad ones, or a machine at its limit, end the run."""
    bad: list[BadImage] = []
    try:
        yield from load_batches(refs, rules, pools, bad, Meter())
    except OSError as error:
        raise RunFailed(f"The images cannot be read: {first_line(error)}") from error
    left_out.extend(LeftOut(refs.column("uri")[image.row].as_py(), image.error) for image in bad)
    if bad and len(bad) / refs.num_rows > max_failure_ratio:
        raise RunFailed(
            f"{len(bad):,} of {refs.num_rows:,} images cannot be used, more than --max_failure_ratio="
            f"{max_failure_ratio:g} allows; the first is {left_out[0].uri}: {left_out[0].error.message}"
        )
