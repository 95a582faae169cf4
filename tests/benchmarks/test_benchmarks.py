"""The arithmetic of the benchmarks, without running them."""

import dataclasses
import io
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from tests.benchmarks.cases import COLD, PEERS, WARM, WARM_HALF, Case, our_command
from tests.benchmarks.feeding import samples_of_feeding
from tests.benchmarks.machine import Limit
from tests.benchmarks.measuring import last_line, measure
from tests.benchmarks.pictures import different_pictures, find_pictures, megapixel_pictures
from tests.benchmarks.race import Features
from tests.benchmarks.report import case_table, figure_table, limit_text, peer_text
from tests.benchmarks.results import CaseResult, Figure, Outcome, ratio, share_of_limit
from tests.conftest import write_pictures
from transforms.machine import composite_limit

CASE = Case("pictures", (), 100, "MobileNet", "float32", "weights.h5", ("Daft", "tf.data", WARM, WARM_HALF, COLD))


@pytest.fixture
def result() -> CaseResult:
    """Three rounds: ours 4 s for 100 pictures and 6 s for 200, tf.data 10 s; Daft failed once."""
    seconds = {"tf.data": (30.0, 10.0, 8.0), WARM: (4.0, 3.0, 9.0), WARM_HALF: (3.0, 3.0, 3.0), "Daft": (5.0,) * 3}
    outcomes = [
        Outcome(name, number, CASE.count_of(name), taken, 2 * taken, number * 10**9)
        for name, values in seconds.items()
        for number, taken in enumerate(values, 1)
    ]
    outcomes = [
        dataclasses.replace(one, failure="no disk") if (one.contestant, one.round) == ("Daft", 2) else one
        for one in outcomes
    ]
    limits = [Limit({"OpenVINO": bare}, 0.004, 2) for bare in (90.0, 100.0, 400.0)]
    limits[0] = Limit({"OpenVINO": 90.0, "ONNX Runtime": 80.0}, 0.004, 2)
    return CaseResult(CASE, outcomes, limits)


def test_the_limit_adds_the_base_and_the_decoding_of_all_cores() -> None:
    assert composite_limit(bare=100.0, decode_seconds=0.02, cores=2) == pytest.approx(50.0)


def test_a_speed_is_that_of_the_median_round(result: CaseResult) -> None:
    assert result.images_per_second(WARM) == 25.0
    assert result.images_per_second("tf.data") == 10.0
    assert result.peak_bytes(WARM) == 2e9


def test_one_failed_round_leaves_a_contestant_without_a_figure(result: CaseResult) -> None:
    assert result.images_per_second("Daft") is None
    assert result.failure("Daft") == "no disk"
    assert result.best_peer == "tf.data"


def test_the_steady_state_leaves_the_start_out(result: CaseResult) -> None:
    assert result.steady_state == 50.0
    assert share_of_limit(result) == pytest.approx(50.0 / composite_limit(100.0, 0.004, 2))


def test_the_limit_is_that_of_the_fastest_runtime(result: CaseResult) -> None:
    assert Limit({"OpenVINO": 90.0, "ONNX Runtime": 120.0}, 0.004, 2).bare == 120.0
    assert "the base alone, images/s: 80.0 by ONNX Runtime, 100.0 by OpenVINO" in limit_text(result)


def test_cpu_is_that_of_a_process_and_its_children_together() -> None:
    spin = (
        "import sys, time; end = time.process_time() + 1\nwhile time.process_time() < end: pass\n"
        "print(flush=True); sys.stdin.read()"
    )
    code = (
        "import subprocess, sys;"
        f"child = subprocess.Popen([sys.executable, '-c', {spin!r}], stdin=-1, stdout=-1, start_new_session=True);"
        "child.stdout.readline()\nif len(sys.argv) > 1: child.communicate()\nelse: import time; time.sleep(1)"
    )
    waited_for = measure([sys.executable, "-c", code, "wait"], {}, timeout=60)
    left_alone = measure([sys.executable, "-c", code], {}, timeout=60)
    assert 1.0 <= waited_for.cpu_seconds < 1.6
    assert 0.7 <= left_alone.cpu_seconds < 1.6


def test_without_the_run_of_half_the_pictures_there_is_no_steady_state(result: CaseResult) -> None:
    result.outcomes = [outcome for outcome in result.outcomes if outcome.contestant != WARM_HALF]
    assert result.steady_state is None
    assert "not measured" in limit_text(result)


def test_the_table_has_the_fastest_first_and_failures_last(result: CaseResult) -> None:
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in case_table(result)[2:]]
    assert [row[0] for row in rows[:3]] == [WARM, WARM_HALF, "tf.data"]
    assert rows[2] == ["tf.data", "10.0", "30.0, 10.0, 8.0", "200.0 ms/image", "2,000 MB", "2.50", "–"]
    assert {row[0]: row[1] for row in rows[3:]} == {"Daft": "failed: no disk", COLD: "failed: not run"}


def test_peers_that_are_far_behind_are_not_run_again(result: CaseResult) -> None:
    result.outcomes += [Outcome("Keras predict", 1, 100, 14.0, 20.0, 10**9)]
    result.case = dataclasses.replace(CASE, contestants=(*CASE.contestants, "Keras predict"))
    assert result.in_the_running(1.5) == ("tf.data", WARM, WARM_HALF, COLD, "Keras predict")
    assert result.in_the_running(1.3) == ("tf.data", WARM, WARM_HALF, COLD)


def test_ours_is_held_against_the_best_peer(result: CaseResult) -> None:
    assert (
        peer_text(result)[0]
        == "Best peer: tf.data with 10.0 images/s; ours, warm 2.50× (median of the ratios by round 3.33)."
    )


def test_a_ratio_of_something_that_failed_says_so() -> None:
    taken, failed = Figure("a", (1.0, 3.0, 2.0), "s"), Figure("b", (), "s", "no memory")
    assert ratio("a ÷ a", taken, taken).median == 1.0
    assert figure_table([ratio("a ÷ b", taken, failed)])[-1] == "| a ÷ b | failed: no memory | |"


def test_different_pictures_differ_in_bytes_and_not_in_pixels(tmp_path: Path) -> None:
    source = str(write_pictures(tmp_path / "source", 1)[0])
    paths = different_pictures([source], 3, tmp_path / "different")
    files = [Path(path).read_bytes() for path in paths]
    assert len({Path(source).read_bytes(), *files}) == 4
    pixels = [np.asarray(Image.open(io.BytesIO(file))) for file in files]
    np.testing.assert_array_equal(pixels[0], pixels[2])
    np.testing.assert_array_equal(pixels[0], np.asarray(Image.open(source)))


def test_megapixel_pictures_have_twelve_megapixels(tmp_path: Path) -> None:
    write_pictures(tmp_path / "source", 2)
    (path,) = megapixel_pictures(find_pictures(tmp_path / "source"), 1, tmp_path / "large")
    with Image.open(path) as image:
        assert image.size == (4000, 3000)


def test_features_are_compared_picture_by_picture_whatever_their_order() -> None:
    rows = [[1.0, 0.0], [0.0, 2.0]]
    kinds = pa.schema([("uri", pa.string()), ("x", pa.list_(pa.float32()))])
    ours = Features.of(pa.table({"uri": ["file:///b%20b", "file:///a"], "x": rows}, kinds), "uri", "x")
    theirs = Features.of(pa.table({"uri": ["/a", "/b b"], "x": rows[::-1]}, kinds), "uri", "x")
    swapped = Features.of(pa.table({"uri": ["/a", "/b b"], "x": rows}, kinds), "uri", "x")
    assert ours.least_cosine(theirs) == pytest.approx(1.0)
    assert ours.least_cosine(swapped) == pytest.approx(0.0)


def test_memory_is_that_of_a_process_and_its_children_together() -> None:
    hold = "import time; held = bytearray(b'x') * 100_000_000; time.sleep(2)"
    code = f"import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', {hold!r}]); {hold}; child.wait()"
    measured = measure([sys.executable, "-c", code], {}, timeout=60)
    assert measured.exit_code == 0
    assert 200e6 < measured.peak_bytes < 300e6


def test_what_a_command_leaves_running_is_ended(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, time; from pathlib import Path;"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True);"
        f"Path({str(tmp_path / 'pid')!r}).write_text(str(child.pid)); time.sleep(1)"
    )
    measure([sys.executable, "-c", code], {}, timeout=60)
    status = Path("/proc", Path(tmp_path, "pid").read_text(), "status")
    assert not status.exists() or "State:\tZ" in status.read_text()


def test_a_command_that_takes_too_long_has_failed() -> None:
    measured = measure([sys.executable, "-c", "import time; time.sleep(600)"], {}, timeout=1)
    assert measured.exit_code < 0
    assert measured.message == "killed after 1 s"


def test_the_reason_of_a_failure_is_the_last_line_that_says_something() -> None:
    assert last_line("Traceback\nValueError: no\n\nI0000 00:00 a note\n") == "ValueError: no"


def test_our_command_takes_the_precision_only_where_it_is_not_the_default() -> None:
    assert not [part for part in our_command(CASE, Path("store"), "list.txt") if part.startswith("--precision")]


def test_every_peer_has_a_script() -> None:
    scripts = Path(__file__).parent.joinpath("peers").glob("*.py")
    others = {
        "label_issues",
        "logistic_regression",
        "model_fit",
        "nearest_neighbors",
        "task",
        "torch_networks",
        "__init__",
    }
    assert {*PEERS.values(), *others} == {script.stem for script in scripts}


def test_samples_of_the_start_are_not_those_of_feeding() -> None:
    stacks = """\
<module> (tests/benchmarks/fed.py:90);main (tests/benchmarks/fed.py:80);_call_with_frames_removed (<frozen>:1) 40
<module> (tests/benchmarks/fed.py:90);main (tests/benchmarks/fed.py:86);feed (tests/benchmarks/fed.py:40);_ (a.py:2) 3
_bootstrap (threading.py:1002);_bootstrap_inner (threading.py:1045);run (threading.py:982);_worker (thread.py:83) 5
"""
    assert samples_of_feeding(stacks) == 8
