"""What is said of progress: the pace from the first images on, the time that is left, in any number of columns."""

import pytest

from pipelines.runners.progress_text import Pace, bar_layout, log_line
from transforms.runtime import Progress

SOME = Progress(planned=1024, skipped=20, extracted=460, failed=3)


def test_the_pace_is_known_with_the_second_look_and_leaves_out_the_start() -> None:
    pace = Pace()
    for seconds, done in ((0.0, 0), (5.0, 0), (10.0, 0), (10.2, 0)):
        pace.observe(seconds, done)
        assert pace.rate is None
    pace.observe(10.4, 8)
    assert pace.rate == pytest.approx(40.0)


def test_the_pace_follows_a_change_and_is_unknown_where_nothing_moves() -> None:
    pace = Pace()
    for second in range(100):
        pace.observe(float(second), 10 * second)
    for second in range(100, 130):
        pace.observe(float(second), 1000 + 2 * (second - 100))
    assert pace.rate == pytest.approx(2.0)
    for second in range(130, 160):
        pace.observe(float(second), 1058)
    assert pace.rate is None


@pytest.mark.parametrize("columns", [30, 39, 60, 79, 119])
def test_share_rate_and_remaining_time_are_shown_in_any_width(columns: int) -> None:
    layout = bar_layout("extracting", SOME, 45.25, columns)
    assert len(layout.replace("{bar}", "")) <= columns
    for figure in ("45 %", "45.2", "00:12"):
        assert figure in layout, layout


def test_wide_lines_have_a_bar_and_all_counts() -> None:
    layout = bar_layout("extracting", SOME, 45.25, 119)
    assert layout == "extracting  45 % {bar} 463 of 1,024 images, 45.2 images/s, 00:12 left, 3 failed, 20 skipped"
    assert bar_layout("extracting", SOME, 45.25, 39) == "extracting  45 % 463/1024 45.2/s 00:12"


def test_what_cannot_be_known_is_not_said() -> None:
    assert bar_layout("extracting", Progress(), None, 79) == "extracting: planning"
    assert bar_layout("extracting", Progress(planned=7), None, 79) == "extracting   0 % {bar} 0 of 7 images"
    assert log_line(30.0, Progress(planned=7), None) == "30 s: 0 of 7 images, 0 failed, starting"
    assert log_line(60.0, Progress(planned=7, extracted=3), None) == "60 s: 3 of 7 images, 0 failed, waiting"


def test_training_tells_epochs_and_a_probe_its_passes() -> None:
    epochs = Progress(planned=4000, extracted=1064, stage="epoch 3 of 10")
    assert "training: epoch 3 of 10  26 % " in bar_layout("training", epochs, 500.0, 100)
    assert bar_layout("training", epochs, 500.0, 39) == "epoch 3 of 10  26 % 500.0/s 00:05"
    assert log_line(8.0, epochs, 500.0) == (
        "8 s: epoch 3 of 10, 1064 of 4000 images, 0 failed, 500.0 images/s, 6 s left"
    )
    assert bar_layout("training", Progress(stage="reading features"), None, 79) == "training: reading features"
    assert log_line(8.0, Progress(stage="reading features"), None) == "8 s: reading features"
    assert bar_layout("training", Progress(passes=23), 4.0, 79) == "training: 23 passes, 4.0 passes/s"
    assert log_line(8.0, Progress(passes=23), 4.0) == "8 s: 23 passes, 4.0 passes/s"


def test_batches_that_are_prepared_ahead_are_not_more_than_all() -> None:
    assert "100 %" in bar_layout("training", Progress(planned=10, extracted=12), 5.0, 79)
