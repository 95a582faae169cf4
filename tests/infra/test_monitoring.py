"""The dashboard and the alert rules ask for metrics that the commands tell, and promtool takes the rules."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.monitoring import metrics as metrics_module
from pipelines.monitoring.exporting import prometheus_text
from pipelines.monitoring.freshness import NewestImages
from pipelines.monitoring.metrics import Metric, PredictionFigures, night_metrics, prediction_metrics
from schemas.errors import ImagesMissing
from tests.conftest import REPOSITORY
from tests.unit.pipelines.monitoring.test_exporting import NOW, ROW

MONITORING = REPOSITORY / "infra" / "monitoring"
PROMTOOL = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "convbase" / "bin" / "promtool"


def promtool() -> str:
    """The one that PROMTOOL names, else that of the user's cache, else that of the path."""
    found = os.environ.get("PROMTOOL") or (str(PROMTOOL) if PROMTOOL.exists() else shutil.which("promtool"))
    if found is None:
        pytest.skip(f"needs {PROMTOOL}, which `make promtool` builds with Go; Debian's `prometheus` has one, too")
    return found


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The names of all metrics."""
    monkeypatch.setattr(metrics_module, "newest_images", lambda _: NewestImages({"ended_at": NOW}, NOW.date()))
    text = prometheus_text(night_metrics([ROW], object(), 0, NOW), {})
    return set(re.findall(r"^# TYPE (\S+)", text, flags=re.M))


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((MONITORING / "alerts.yaml").read_text())["groups"]
    return list(group["rules"])


def panels() -> list[dict[str, Any]]:
    return list(json.loads((MONITORING / "dashboard.json").read_text())["panels"])


def expressions() -> Iterator[str]:
    yield from (target["expr"] for panel in panels() for target in panel["targets"])
    yield from (rule["expr"] for rule in rules())


def test_only_metrics_are_asked_for_that_are_told(told: set[str]) -> None:
    asked = set().union(*(re.findall(r"convbase_\w+", expression) for expression in expressions()))
    assert asked <= told
    assert {"convbase_failures", "convbase_stage_seconds", "convbase_coverage_ratio", "convbase_read_bytes"} <= asked


def test_panels_lie_beside_each_other() -> None:
    places = [panel["gridPos"] for panel in panels()]
    cells = [
        (x, y) for at in places for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert len({panel["id"] for panel in panels()}) == len(places)


def page(name: str) -> str:
    """A page of the documentation, with what it includes."""
    text = (REPOSITORY / name).read_text()
    included = re.findall(r'^--8<-- "(.*)"$', text, flags=re.M)
    return "\n".join([text, *((REPOSITORY / path).read_text() for path in included)])


def test_each_alert_names_who_is_paged_and_a_section_to_follow() -> None:
    for rule in rules():
        assert rule["labels"].keys() == {"severity", "team"}
        found = re.fullmatch(r'(\S+\.md), "(.*)"', rule["annotations"]["runbook"])
        assert found is not None
        assert f"\n## {found[2]}\n" in page(found[1])


def test_there_is_an_alert_for_every_exit_code_that_somebody_has_to_know() -> None:
    codes = [code for rule in rules() for code in re.findall(r"exit_code\{[^}]*\} == (\d)", rule["expr"])]
    assert sorted(codes) == ["1", "2", str(ImagesMissing.exit_code)]


@pytest.mark.parametrize("arguments", ["check rules alerts.yaml", "test rules alerts-test.yaml"])
def test_promtool_takes_the_rules_and_they_page_whom_they_should(arguments: str) -> None:
    done = subprocess.run([promtool(), *arguments.split()], cwd=MONITORING, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("command", "metrics"),
    [
        ("backfill", night_metrics([ROW], None, 0, NOW)),
        ("predict", prediction_metrics(PredictionFigures("out", 90, {"timeout": 3}, 12.5), 0, NOW)),
    ],
)
def test_promtool_takes_what_a_command_tells(command: str, metrics: Sequence[Metric]) -> None:
    text = prometheus_text(metrics, {"command": command, "store": "gs://bucket/store"})
    done = subprocess.run([promtool(), "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert done.returncode in {0, 3}, done.stdout + done.stderr  # 3: it would name some of them otherwise.
