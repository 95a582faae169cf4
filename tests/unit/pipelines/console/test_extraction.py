"""The summary of a run says what was tried again, and nothing of it where nothing was."""

import pytest

from pipelines.console.extraction import _tried_again
from schemas.measures import Measures


@pytest.mark.parametrize(
    ("measures", "lines"),
    [
        (Measures(reads=2_000), []),
        (
            Measures(reads=2_000, retries=30, waited_milliseconds=4_250),
            ["  2,000 reads, 30 tried again, 4.2 s of pauses"],
        ),
        (
            Measures(reads=2_000, retries=30, throttled=20, waited_milliseconds=4_250),
            ["  2,000 reads, 30 tried again, 20 as the storage asked for fewer, 4.2 s of pauses"],
        ),
    ],
)
def test_reads_that_were_tried_again_are_a_line(measures: Measures, lines: list[str]) -> None:
    assert _tried_again(measures) == lines
