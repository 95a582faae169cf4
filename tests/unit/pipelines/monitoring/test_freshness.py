"""What is usual of nights, and how many images are enough."""

import pytest

from pipelines.monitoring.freshness import ExpectedImages


@pytest.mark.parametrize(
    ("text", "nights", "least"),
    [
        ("100", [], 100),
        ("50%", [100, 200, 300], 100),
        ("50%", [100, 200, 300, 1000], 125),
        ("50%", [100, 200], None),
        ("0", [], 0),
        ("80%", [10] * 14, 8),
    ],
)
def test_enough_is_a_number_or_a_share_of_the_median(text: str, nights: list[int], least: int | None) -> None:
    expected = ExpectedImages.parse(text)
    assert expected.least(nights) == least
    assert str(expected) == text
