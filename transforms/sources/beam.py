"""The Beam transform that lists images. It only carries: the work is in `listing` and `stat`."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, Literal, NamedTuple

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import PBegin, PCollection, TaggedOutput
from apache_beam.typehints.decorators import no_annotations

from schemas.storage import use_storage
from schemas.store import InputCounts
from transforms.folders import IgnoredFiles
from transforms.shuffle import coder  # noqa: F401 (registers the coder of record batches)
from transforms.source_kinds import ListingRules, Source, SourcePart
from transforms.sources.listing import divide, list_part
from transforms.sources.stat import look_up_versions

_COUNTS: Final = "counts"


class Listing(NamedTuple):
    """Images and what was counted on the way to them.

    Attributes:
        refs: Batches of refs.
        counts: `InputCounts`, to be summed.
    """

    refs: PCollection[pa.RecordBatch]
    counts: PCollection[InputCounts]


class ListImages(beam.PTransform):
    """Lists the images of sources, each with its version."""

    def __init__(
        self, sources: Sequence[Source], rules: ListingRules, on_start: Callable[[], None] | None = None
    ) -> None:
        """Takes the sources.

        Args:
            sources: Where the images are.
            rules: How the sources are read.
            on_start: What the first worker does when it starts.
        """
        super().__init__()
        self._sources = sources
        self._rules = rules
        self._on_start = on_start

    @no_annotations
    def expand(self, root: PBegin) -> Listing:
        """Returns the images."""
        divided = (
            root
            | "Sources" >> beam.Create(self._sources)
            | "SpreadSources" >> beam.Reshuffle()
            | "Divide"
            >> beam.ParDo(_Divide(self._rules, self._on_start))
            .with_output_types(SourcePart, counts=InputCounts)
            .with_outputs(_COUNTS, main="parts")
        )
        listed = (
            divided.parts
            | "SpreadParts" >> beam.Reshuffle()
            | "List"
            >> beam.ParDo(_ListPart(self._rules))
            .with_output_types(pa.RecordBatch, counts=InputCounts)
            .with_outputs(_COUNTS, main="refs")
        )
        counts = (divided[_COUNTS], listed[_COUNTS]) | "ListingCounts" >> beam.Flatten()
        return Listing(listed.refs, counts)


class _Divide(beam.DoFn):
    def __init__(self, rules: ListingRules, on_start: Callable[[], None] | None) -> None:
        self._rules = rules
        self._on_start = on_start

    def setup(self) -> None:
        use_storage(self._rules.storage)
        if self._on_start is not None:
            self._on_start()

    def process(self, source: Source) -> Iterator[SourcePart | TaggedOutput[Literal["counts"], InputCounts]]:
        ignored = IgnoredFiles()
        yield from divide(source, self._rules, ignored)
        yield TaggedOutput(_COUNTS, InputCounts(left_aside=ignored.files))


class _ListPart(beam.DoFn):
    def __init__(self, rules: ListingRules) -> None:
        self._rules = rules

    def setup(self) -> None:
        use_storage(self._rules.storage)

    def process(self, part: SourcePart) -> Iterator[pa.RecordBatch | TaggedOutput[Literal["counts"], InputCounts]]:
        ignored = IgnoredFiles()
        for refs in list_part(part, self._rules, ignored):
            yield look_up_versions(refs, self._rules.reach)
        yield TaggedOutput(_COUNTS, InputCounts(left_aside=ignored.files))
