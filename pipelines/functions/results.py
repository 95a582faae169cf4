"""What commands have done: as text where it is printed, as a table in a notebook."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from schemas.errors import printable, with_count
from schemas.fragments import TableName
from schemas.storage import join
from schemas.store import FeatureStore, PredictionTables

if TYPE_CHECKING:
    import pandas as pd

    from schemas.classifiers import ModelCard
    from transforms.exploration import Drift
    from transforms.machine import Measured


@dataclasses.dataclass(frozen=True, repr=False, kw_only=True)
class Result:
    """What a command has done.

    Attributes:
        text: What it prints at its end.
        exit_code: With what it exits.
    """

    text: str
    exit_code: int = 0

    def figures(self) -> Mapping[str, object]:
        """Returns counts and places by name, as a notebook shows them below the first line of the text."""
        return {}

    def __repr__(self) -> str:
        return "\n".join(map(printable, self.text.split("\n")))

    def _repr_html_(self) -> str:
        title = printable(self.text.partition("\n")[0])
        return f"<p>{escape(title)}</p>{_html_table((), self.figures().items())}"


@dataclasses.dataclass(frozen=True, repr=False, kw_only=True)
class ExtractionResult(Result):
    """A run of an extraction, or the plan of one.

    Attributes:
        store: The store; None where a plan is for one that is not made yet, or a template is for any.
        counts: The closing figures of the run, by their names in the table `runs` and in `--summary`, or those of the
            plan.
        shown: Those that a notebook shows, by the words of the summary.
    """

    store: FeatureStore | None = None
    counts: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    shown: Sequence[tuple[str, int]] = ()

    def figures(self) -> Mapping[str, object]:
        """Returns counts of images, and where the table is."""
        where = {} if self.store is None else {"table": join(self.store.uri, TableName.FEATURES)}
        version = self.counts.get("table_version")
        return {**dict(self.shown), **where, **({} if version is None else {"its version": str(version)})}


@dataclasses.dataclass(frozen=True, repr=False, kw_only=True)
class TrainingResult(Result):
    """A classifier that was trained.

    Attributes:
        uri: Its folder, as it was named; `predict` takes it as `model`.
        report: Its report, a page.
        card: What is known of it.
    """

    uri: str
    report: str
    card: "ModelCard"

    @property
    def metrics(self) -> Mapping[str, float | None]:
        """Accuracy, AUC and log loss by split, under names such as `validation_accuracy`."""
        return self.card.metrics

    def logged(self) -> Mapping[str, object]:
        """Returns what its log record has at the end: the classifier, and images and metrics by split."""
        images = {f"{split}_images": images for split, images in self.card.images.items()}
        judged = {name: value for name, value in self.metrics.items() if value is not None}
        return {"model_id": self.card.model_id, **images, **judged}

    def figures(self) -> Mapping[str, object]:
        """Returns images and accuracy by split, and where the classifier is."""
        judged = {
            f"{split}, {with_count(images, 'image')}": f"accuracy {self.metrics[f'{split}_accuracy']:.4f}"
            for split, images in self.card.images.items()
            if self.metrics.get(f"{split}_accuracy") is not None
        }
        return {**judged, "classifier": self.uri, "report": self.report}


@dataclasses.dataclass(frozen=True, repr=False, kw_only=True)
class PredictionResult(Result):
    """A run of predictions.

    Attributes:
        tables: The tables that it wrote to.
        run_id: Its name.
    """

    tables: PredictionTables
    run_id: str

    def to_arrow(self) -> pa.Table:
        """Returns its rows of the table `predictions`."""
        return self.tables.scan_of_run(TableName.PREDICTIONS, self.run_id).to_arrow()

    def to_pandas(self) -> "pd.DataFrame":
        """Returns its rows of the table `predictions` as a DataFrame."""
        return self.to_arrow().to_pandas()

    def figures(self) -> Mapping[str, object]:
        """Returns counts of images, and where the table is."""
        counts = {
            word: self.tables.scan_of_run(name, self.run_id).count()
            for word, name in (("predicted", TableName.PREDICTIONS), ("failed", TableName.FAILURES))
        }
        return {**counts, "table": join(self.tables.uri, TableName.PREDICTIONS)}


@dataclasses.dataclass(frozen=True, repr=False, kw_only=True)
class ExplorationResult(Result):
    """A page that shows a store's images.

    Attributes:
        page: The page.
        files: All files that were written, the page first.
        counts: What was found.
        drift: How two sets of images differ, if they were compared.
    """

    page: str
    files: Sequence[str]
    counts: Mapping[str, int]
    drift: "Drift | None" = None

    def figures(self) -> Mapping[str, object]:
        """Returns what was found, and which file to open."""
        return {**self.counts, "page": self.page}


@dataclasses.dataclass(frozen=True, repr=False, kw_only=True)
class SearchResult(Result):
    """Images that are near to a picture.

    Attributes:
        hits: A row for each, the nearest first: `distance`, and the columns of the table but features.
    """

    hits: pa.Table

    def to_pandas(self) -> "pd.DataFrame":
        """Returns the hits as a DataFrame."""
        return self.hits.to_pandas()

    def _repr_html_(self) -> str:
        if not self.hits.num_rows:
            return super()._repr_html_()
        names = [name for name in ("distance", "label", "split", "uri") if self.hits[name].null_count < len(self.hits)]
        columns = (map(_shown, self.hits[name].to_pylist()) for name in names)
        return _html_table(names, zip(*columns, strict=True))


@dataclasses.dataclass(frozen=True, repr=False, kw_only=True)
class MeasurementResult(Result):
    """How fast a machine is.

    Attributes:
        measured: What was measured: `best(precision)` has the fastest settings, `limit(precision, decode)` what the
            machine allows.
    """

    measured: "Measured"

    def figures(self) -> Mapping[str, object]:
        """Returns the images a second that the machine allows, and how long a million take."""
        limits = {
            f"{precision}, {decode}": self.measured.limit(precision, decode)
            for precision in self.measured.precisions
            for decode in ("exact", "scaled")
        }
        return {
            f"images/s, {name}": f"{limit:,.1f}; a million in {1e6 / limit / 3600:,.1f} h"
            for name, limit in limits.items()
        }


def printed(result: Result) -> int:
    """Prints what a command has done, and returns its exit code."""
    print(result.text)
    return result.exit_code


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.5f}"
    return f"{value:,}" if isinstance(value, int) else printable(str(value if value is not None else ""))


def _html_table(heads: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    head = f"<tr>{''.join(f'<th>{escape(name)}</th>' for name in heads)}</tr>" if heads else ""
    body = "".join(f"<tr>{''.join(f'<td>{escape(_shown(cell))}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table>{head}{body}</table>"
