"""What Beam's options mean for us."""

import pytest

from pipelines import runners
from pipelines.runners import beam_options, threads_a_process


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), None),
        (("--runner=DirectRunner", "--direct_num_workers=3"), None),
        (("--direct_running_mode=multi_threading", "--direct_num_workers=3"), None),
        (("--direct_running_mode=multi_processing", "--direct_num_workers=3"), 2),
        (("--direct_running_mode=multi_processing", "--direct_num_workers=0"), 1),
        (("--direct_running_mode=multi_processing", "--direct_num_workers=16"), 1),
        (("--runner=FlinkRunner", "--direct_running_mode=multi_processing"), None),
    ],
)
def test_worker_processes_on_one_machine_share_its_cores(
    arguments: tuple[str, ...], expected: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runners, "available_cores", lambda: 8)
    assert threads_a_process(beam_options(arguments)) == expected
