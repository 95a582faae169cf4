"""Metrics as Prometheus and OpenTelemetry get them."""

import argparse
import contextlib
import datetime
import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipelines.extract import tell_figures
from pipelines.monitoring import PredictionFigures, export_metrics, told_at_its_end
from pipelines.monitoring.exporting import prometheus_text
from pipelines.monitoring.metrics import Metric, night_metrics, prediction_metrics
from schemas.errors import RunStopped, UsageError
from schemas.store import FeatureStore
from tests.support.fragments import SPEC, a_run

LABELS = {"command": "backfill"}
NOW = datetime.datetime(2026, 2, 1, 3, tzinfo=datetime.UTC)
ROW = {
    "listed": 100, "skipped": 40, "extracted": 50, "reused": 3, "adopted": None, "failed": 10, "remaining": 0,
    "feature_bytes": 4096, "seconds": 12.5, "table_version": 3,
    "failures_by_code": json.dumps({"not_an_image": 7, "timeout": 3}),
    "metrics": json.dumps({"bytes_read": 2048, "decode_seconds": 1.5, "infer_seconds": 3.0, "load_seconds": 0.5}),
}  # fmt: skip


@contextmanager
def collector() -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """A server that takes whatever is posted; yields its address, and what came by path."""
    posted: list[tuple[str, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", posted
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def lines() -> list[str]:
    return prometheus_text(night_metrics([ROW], None, 0, NOW), {"command": "backfill"}).splitlines()


@pytest.mark.parametrize(
    "line",
    [
        'convbase_images{command="backfill",outcome="listed"} 100.0',
        'convbase_images{command="backfill",outcome="adopted"} 0.0',
        'convbase_failures{command="backfill",code="not_an_image"} 7.0',
        'convbase_read_bytes{command="backfill"} 2048.0',
        'convbase_feature_bytes{command="backfill"} 4096.0',
        'convbase_stage_seconds{command="backfill",stage="conv_base"} 3.0',
        'convbase_run_seconds{command="backfill"} 12.5',
        'convbase_coverage_ratio{command="backfill"} 0.9',
        'convbase_exit_code{command="backfill"} 0.0',
        f'convbase_end_timestamp_seconds{{command="backfill"}} {NOW.timestamp()!r}',
    ],
)
def test_a_night_in_the_format_of_prometheus(line: str) -> None:
    assert line in lines()


@pytest.mark.parametrize(
    "line",
    [
        'convbase_images{command="predict",outcome="listed"} 100.0',
        'convbase_images{command="predict",outcome="predicted"} 90.0',
        'convbase_failures{command="predict",code="timeout"} 3.0',
        'convbase_run_seconds{command="predict"} 12.5',
        'convbase_exit_code{command="predict"} 0.0',
    ],
)
def test_a_run_of_predictions_in_the_format_of_prometheus(line: str) -> None:
    figures = PredictionFigures("out", 90, {"not_an_image": 7, "timeout": 3}, 12.5)
    assert line in prometheus_text(prediction_metrics(figures, 0, NOW), {"command": "predict"}).splitlines()


@pytest.mark.parametrize(
    ("error", "code"), [(None, 0), (RunStopped("Time."), 3), (UsageError("No."), 2), (OSError(), 1)]
)
def test_what_ends_a_command_is_told_by_its_exit_code(error: Exception | None, code: int) -> None:
    told: list[int] = []
    with contextlib.suppress(Exception), told_at_its_end(told.append):
        if error is not None:
            raise error
    assert told == [code]


def test_each_metric_has_a_help_and_a_type_before_its_points() -> None:
    names = [line.split("{")[0] for line in lines() if not line.startswith("#")]
    assert [line.split()[2] for line in lines() if line.startswith("# TYPE")] == list(dict.fromkeys(names))
    assert lines()[:2] == ["# HELP convbase_images Images of the runs, by outcome.", "# TYPE convbase_images gauge"]


def test_a_label_is_escaped() -> None:
    text = prometheus_text([Metric("a", "1", "A.", [({"b": 'x"\\\n'}, 1.0)])], {})
    assert text.splitlines()[2] == r'a{b="x\"\\\n"} 1.0'


def test_nothing_is_told_where_nobody_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    monkeypatch.setattr("pipelines.monitoring.exporting.night_metrics", None)
    export_metrics(None, LABELS, [ROW], None, 0)


def test_a_file_that_cannot_be_written_is_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    export_metrics(f"{tmp_path}/file/night.prom", LABELS, [ROW], None, 0)
    assert capsys.readouterr().err.startswith(f"warning: {tmp_path}/file/night.prom could not be written")


def test_a_store_that_cannot_be_read_hides_neither_the_other_metrics_nor_what_the_command_failed_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = FeatureStore.create(f"{tmp_path}/store", SPEC)
    shutil.rmtree(tmp_path / "store")
    with (
        pytest.raises(RunStopped, match="The time was up"),
        told_at_its_end(lambda code: export_metrics(f"{tmp_path}/night.prom", LABELS, [ROW], store, code)),
    ):
        raise RunStopped("The time was up.")
    assert capsys.readouterr().err.startswith("warning: the runs of the store could not be read for metrics (")
    lines = (tmp_path / "night.prom").read_text().splitlines()
    assert 'convbase_exit_code{command="backfill"} 3.0' in lines
    assert 'convbase_images{command="backfill",outcome="extracted"} 50.0' in lines


def test_a_run_that_failed_with_its_store_is_told_as_failed(tmp_path: Path) -> None:
    store = FeatureStore.create(f"{tmp_path}/store", SPEC)
    shutil.rmtree(tmp_path / "store")
    given = argparse.Namespace(summary=f"{tmp_path}/summary.json", metrics_file=f"{tmp_path}/night.prom")
    tell_figures(given, SimpleNamespace(store=store, run=a_run("r")), None)
    labels = f'command="extract",store="{store.uri}"'
    assert f"convbase_exit_code{{{labels}}} 1.0" in (tmp_path / "night.prom").read_text().splitlines()
    assert not (tmp_path / "summary.json").exists()


def test_the_collector_of_the_environment_gets_them(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("opentelemetry.sdk.metrics", reason="needs the extra `otel`")
    exporter = pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="needs the extra `otel`")
    assert exporter is not None
    with collector() as (address, posted):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
        export_metrics(None, LABELS, [ROW], None, 0)
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

    ((path, body),) = posted
    assert path == "/v1/metrics"
    (resource,) = ExportMetricsServiceRequest.FromString(body).resource_metrics
    named = {each.key: each.value.string_value for each in resource.resource.attributes}
    assert named["service.name"] == "convbase"
    found = {metric.name: metric for metric in resource.scope_metrics[0].metrics}
    codes = {
        point.attributes[1].value.string_value: point.as_double
        for point in found["convbase.failures"].gauge.data_points
    }
    assert codes == {"not_an_image": 7, "timeout": 3}
    assert found["convbase.run.seconds"].unit == "s"


def test_packages_that_are_missing_are_a_warning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setitem(__import__("sys").modules, "opentelemetry.sdk.metrics", None)
    export_metrics(None, LABELS, [ROW], None, 0)
    assert "OpenTelemetry's packages are not installed; the extra `otel` has them" in capsys.readouterr().err
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    export_metrics(None, LABELS, [ROW], None, 0)
    assert capsys.readouterr().err == ""
