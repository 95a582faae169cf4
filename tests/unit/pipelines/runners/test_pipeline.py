"""What a launcher knows of workers that start elsewhere."""

import datetime
from pathlib import Path

import pytest

from pipelines.runners import beam_options, on_worker_start, worker_start

ELSEWHERE = ("--runner=PortableRunner", "--job_endpoint=localhost:8099")


@pytest.mark.parametrize("earlier", [False, True])
def test_a_worker_of_an_earlier_attempt_at_a_run_is_not_taken_for_one_of_this(earlier: bool, tmp_path: Path) -> None:
    options = beam_options(ELSEWHERE)
    run = (f"file://{tmp_path}", "night")
    starts = on_worker_start(options, *run)
    assert starts is not None
    if earlier:
        starts()
    start = worker_start(options, datetime.timedelta(minutes=30), *run)
    assert start is not None
    assert not start.has_started()
    starts()
    assert start.has_started()
