"""A run is committed with as many failures as its option allows, and with no more."""

import pytest

from schemas.fragments import Totals
from schemas.store import InputCounts, RunState
from transforms.extraction import judge_run


@pytest.mark.parametrize("images", [10, 100, 1000])
def test_a_share_of_failures_that_is_allowed_is_not_too_large_by_rounding(images: int) -> None:
    """0.29 times 100 is 28.999999999999996."""
    for failed in range(images):
        ratio = float(f"{failed / images:.3f}")
        states = [
            judge_run(Totals(images - number, failed=number), InputCounts(listed=images), ratio)[0]
            for number in (failed, failed + 1)
        ]
        assert states == [RunState.COMPLETE, RunState.FAILED], ratio


def test_a_run_without_an_image_is_complete() -> None:
    assert judge_run(Totals(), InputCounts(), 0.0) == (RunState.COMPLETE, None)
