"""The Beam transforms before a shuffle of record batches. Where all workers are on one machine, they go into files.

Beam's runner in one process holds what crosses a shuffle in memory, up to three times; elsewhere the engine takes care.
"""

from collections.abc import Iterator

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import PCollection
from apache_beam.transforms.window import GlobalWindows
from apache_beam.typehints.decorators import no_annotations
from apache_beam.utils.windowed_value import WindowedValue

from transforms.shuffle import coder  # noqa: F401 (registers the coder of record batches)
from transforms.shuffle.partitioning import PARTITIONS_OF_WORKERS, Partitioner, partitions_of
from transforms.shuffle.spilling import Spilled, SpillFile


class Partition(beam.PTransform):
    """Splits batches into the hash partitions of their URIs."""

    def __init__(self, images: int, spill_folder: str | None) -> None:
        """Takes what decides how many there are.

        Args:
            images: About how many images there are.
            spill_folder: A folder for the pieces, where all workers are on this machine.
        """
        super().__init__()
        self._images = images
        self._spill_folder = spill_folder

    @no_annotations
    def expand(self, batches: PCollection[pa.RecordBatch]) -> PCollection[tuple[int, pa.RecordBatch | Spilled]]:
        """Returns numbers of partitions, each with rows that belong there or where they are."""
        if self._spill_folder is None:
            return batches | beam.ParDo(_Partition(PARTITIONS_OF_WORKERS)).with_output_types(tuple[int, pa.RecordBatch])
        spill = _SpillPartitions(partitions_of(self._images), self._spill_folder)
        return batches | beam.ParDo(spill).with_output_types(tuple[int, Spilled])


class _Partition(beam.DoFn):
    def __init__(self, partitions: int) -> None:
        self._partitions = partitions

    def start_bundle(self) -> None:
        self._partitioner = Partitioner(self._partitions)

    def process(self, batch: pa.RecordBatch) -> Iterator[tuple[int, pa.RecordBatch]]:
        yield from self._partitioner.add(batch)

    def finish_bundle(self) -> Iterator[WindowedValue]:
        yield from map(GlobalWindows.windowed_value_at_end_of_window, self._partitioner.rest())


class _SpillPartitions(beam.DoFn):
    def __init__(self, partitions: int, folder: str) -> None:
        self._partitions = partitions
        self._folder = folder

    def start_bundle(self) -> None:
        self._partitioner = Partitioner(self._partitions)
        self._file = SpillFile(self._folder)

    def process(self, batch: pa.RecordBatch) -> Iterator[tuple[int, Spilled]]:
        for partition, piece in self._partitioner.add(batch):
            yield partition, self._file.add(piece)

    def finish_bundle(self) -> Iterator[WindowedValue]:
        for partition, piece in self._partitioner.rest():
            yield GlobalWindows.windowed_value_at_end_of_window((partition, self._file.add(piece)))
        self._file.close()


class Spread(beam.PTransform):
    """Lets workers take batches again, as `Reshuffle` does; where all are on this machine, by way of files."""

    def __init__(self, spill_folder: str | None = None) -> None:
        """Takes a folder for the batches, where all workers are on this machine."""
        super().__init__()
        self._spill_folder = spill_folder

    @no_annotations
    def expand(self, batches: PCollection[pa.RecordBatch]) -> PCollection[pa.RecordBatch]:
        """Returns the same batches."""
        if self._spill_folder is None:
            return batches | beam.Reshuffle()
        return (
            batches
            | "Spill" >> beam.ParDo(_Spill(self._spill_folder)).with_output_types(Spilled)
            | beam.Reshuffle()
            | "Read" >> beam.Map(Spilled.read).with_output_types(pa.RecordBatch)
        )


class _Spill(beam.DoFn):
    def __init__(self, folder: str) -> None:
        self._folder = folder

    def start_bundle(self) -> None:
        self._file = SpillFile(self._folder)

    def process(self, batch: pa.RecordBatch) -> Iterator[Spilled]:
        yield self._file.add(batch)

    def finish_bundle(self) -> None:
        self._file.close()
