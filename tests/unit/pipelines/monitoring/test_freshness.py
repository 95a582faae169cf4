"""What is usual of nights, and how many images are enough."""

import pytest

from pipelines.monitoring import freshness
from pipelines.monitoring.freshness import ExpectedImages
from pipelines.monitoring.metrics import night_metrics
from schemas.store import FeatureStore
from tests.unit.pipelines.monitoring.test_exporting import NOW


@pytest.mark.parametrize(
    ("text", "nights", "least"),
    [
        ("100", [], 100),
        ("50%", [100, 200, 300], 100),
        ("50%", [100, 200, 300, 1000], 125),
        ("50%", [100, 200], None),
        ("0", [], 0),
        ("80%", [10] * 14, 8),
        ("50%", [5] * 3, 3),
        ("50%", [1, 4, 5, 9], 3),
        ("29%", [100] * 3, 29),
        ("1%", [10] * 3, 1),
        ("0%", [10] * 3, 0),
    ],
)
def test_enough_is_a_number_or_a_share_of_the_median(text: str, nights: list[int], least: int | None) -> None:
    expected = ExpectedImages.parse(text)
    assert expected.least(nights) == least
    assert str(expected) == text


def test_what_came_last_is_found_by_a_single_reading_of_runs(
    small_store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, calls = freshness._complete_runs, []
    monkeypatch.setattr(freshness, "_complete_runs", lambda store: calls.append(store) or read(store))
    names = {metric.name for metric in night_metrics([], small_store, 0, NOW)}
    assert {"convbase.newest.images.timestamp", "convbase.newest.date.lag"} <= names
    assert calls == [small_store]
