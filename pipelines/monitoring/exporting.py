"""Where metrics go: a file in Prometheus's format, and an OpenTelemetry collector.

OpenTelemetry's own variables say whether and where to: `OTEL_EXPORTER_OTLP_ENDPOINT`, or the one for metrics alone,
`OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_SDK_DISABLED`.
"""

import contextlib
import datetime
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from deltalake.exceptions import DeltaError

from pipelines.monitoring.metrics import Metric, PredictionFigures, night_metrics, prediction_metrics
from schemas.errors import ConvbaseError, RunFailed, first_line
from schemas.storage import write_file
from schemas.store import FeatureStore
from schemas.uris import without_secrets

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def are_metrics_wanted(file_uri: str | None) -> bool:
    """Whether metrics go anywhere.

    Args:
        file_uri: The file into which they are to be written, if one is named.
    """
    return bool(file_uri) or _has_collector()


@contextlib.contextmanager
def told_at_its_end(tell: Callable[[int], None]) -> Iterator[None]:
    """Tells how a command has ended that is done meanwhile, whatever ends it.

    Args:
        tell: Takes its exit code.
    """
    code = RunFailed.exit_code
    try:
        yield
        code = 0
    except ConvbaseError as error:
        code = error.exit_code
        raise
    finally:
        tell(code)


def export_metrics(
    file_uri: str | None,
    labels: Mapping[str, str],
    rows: Sequence[Mapping[str, Any]],
    store: FeatureStore | None,
    exit_code: int,
) -> None:
    """Writes the metrics of a command into the file that is named, and sends them to the environment's collector.

    Where there is neither, nothing happens; where that fails, a line on standard error says so: the work is done, or
    has failed of something else. Where the store cannot be read, what it alone tells is left out.

    Args:
        file_uri: The file.
        labels: What all of them are about: the command and its store.
        rows: The rows in `runs` of the runs that it made.
        store: The store; None if there is none.
        exit_code: How it ended.
    """
    if not are_metrics_wanted(file_uri):
        return
    now = datetime.datetime.now(datetime.UTC)
    try:
        metrics = night_metrics(rows, store, exit_code, now)
    except (ConvbaseError, DeltaError, OSError) as error:
        print(f"warning: the runs of the store could not be read for metrics ({first_line(error)}).", file=sys.stderr)
        metrics = night_metrics(rows, None, exit_code, now)
    _export(file_uri, labels, metrics)


def export_prediction_metrics(file_uri: str | None, figures: PredictionFigures, exit_code: int) -> None:
    """Does the same with the metrics of a run of predictions.

    Args:
        file_uri: The file.
        figures: What it has done.
        exit_code: How it ended.
    """
    if are_metrics_wanted(file_uri):
        metrics = prediction_metrics(figures, exit_code, datetime.datetime.now(datetime.UTC))
        _export(file_uri, {"command": "predict", "store": figures.folder}, metrics)


def _export(file_uri: str | None, labels: Mapping[str, str], metrics: Sequence[Metric]) -> None:
    labels = {name: without_secrets(text) for name, text in labels.items()}
    if file_uri:
        try:
            write_file(file_uri, prometheus_text(metrics, labels).encode())
        except OSError as error:
            print(f"warning: {file_uri} could not be written ({first_line(error)}).", file=sys.stderr)
    if _has_collector():
        _send(metrics, labels)


def _has_collector() -> bool:
    return os.environ.get("OTEL_SDK_DISABLED", "").lower() != "true" and any(map(os.environ.get, _ENDPOINTS))


def prometheus_text(metrics: Sequence[Metric], labels: Mapping[str, str]) -> str:
    """Returns metrics in Prometheus's text format, version 0.0.4."""
    return "".join(f"{line}\n" for metric in metrics for line in _lines(metric, labels))


def _lines(metric: Metric, labels: Mapping[str, str]) -> Iterator[str]:
    name = metric.name.replace(".", "_")
    if metric.unit == "s" and not name.endswith("_seconds"):
        name = f"{name}_seconds"
    if metric.points:
        yield f"# HELP {name} {metric.meaning}"
        yield f"# TYPE {name} gauge"
    for own, value in metric.points:
        shown = ",".join(f'{label}="{text.translate(_ESCAPES)}"' for label, text in {**labels, **own}.items())
        yield f"{name}{{{shown}}} {value!r}"


def _send(metrics: Sequence[Metric], labels: Mapping[str, str]) -> None:
    try:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
        from opentelemetry.sdk.resources import Resource
    except ImportError:
        print(
            "warning: OTEL_EXPORTER_OTLP_ENDPOINT is set, but OpenTelemetry's packages are not installed; the extra "
            "`otel` has them.",
            file=sys.stderr,
        )
        return
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(), export_interval_millis=math.inf)
    service = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": "convbase"}
    provider = MeterProvider([reader], Resource.create(service))
    meter = provider.get_meter("convbase")
    for metric in metrics:
        gauge = meter.create_gauge(metric.name, metric.unit, metric.meaning)
        for own, value in metric.points:
            gauge.set(value, {**labels, **own})
    provider.force_flush()
    provider.shutdown()
