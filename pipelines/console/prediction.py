"""What `pipelines.predict` prints: what it says of images, where the rest is, and how right it was."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.console.extraction import figure_lines
from pipelines.console.padded_lines import padded_line
from pipelines.console.training import metrics_line
from schemas.errors import printable, shown, with_count
from schemas.fragments import TableName
from schemas.storage import join
from schemas.store import PredictionTables
from transforms.prediction import OutputFormat, PredictedRows, Prediction

_IMAGES_SHOWN: Final = 20
_CLASSES_SHOWN: Final = 3
_LONGEST_NAME: Final = 60


def prediction_text(
    tables: PredictionTables,
    prediction: Prediction,
    rows: PredictedRows,
    failures: Mapping[str, int],
    output_format: OutputFormat,
) -> str:
    """Returns the closing summary of a run.

    Args:
        tables: The tables that it wrote to.
        prediction: The run.
        rows: Its predictions.
        failures: The images that failed, by code, the most frequent first.
        output_format: Where they are besides.
    """
    run_id, labels = prediction.run_id, prediction.labels
    lines = [f"Run {run_id}: {with_count(len(rows.uris), 'image')} predicted, {sum(failures.values()):,} failed."]
    lines += figure_lines(*failures.items())
    replaced = tables.replaced_by(run_id)
    of = "of the same images by this classifier "
    lines += [f"  {with_count(replaced, f'prediction {of}is', f'predictions {of}are')} replaced"] if replaced else []
    said = dict(zip(labels.classes, rows.said.tolist(), strict=True))
    lines.append("  " + ", ".join(f"{printable(name)} {count:,}" for name, count in said.items() if count))
    lines += _image_lines(rows)
    lines += [metrics_line(name, metrics) for name, _, metrics in rows.metrics]
    lines.append(f"  classifier {prediction.model_id}, table {join(tables.uri, TableName.PREDICTIONS)}")
    lines.append(f"  to read them: {_reading(tables.uri, run_id, output_format)}")
    return "\n".join(lines)


def _image_lines(rows: PredictedRows) -> Iterator[str]:
    """Yields the first images by name, with the most probable classes and their scores."""
    if not len(rows.uris):
        return
    numbered = pa.table({"uri": rows.uris, "row": np.arange(len(rows.uris))})
    first = numbered.take(pc.select_k_unstable(numbered, _IMAGES_SHOWN, [("uri", "ascending")]))
    names = [shown(name, _LONGEST_NAME) for name in _short_names(first["uri"].to_pylist())]
    width = -max(map(len, names), default=0) - 2
    for name, row in zip(names, first["row"].to_pylist(), strict=True):
        scores = rows.scores[row]
        best = np.argsort(-scores, kind="stable")[:_CLASSES_SHOWN]
        classes = ", ".join(f"{printable(rows.labels.classes[number])} {scores[number]:.3f}" for number in best)
        yield "    " + padded_line((name, classes), (width, 0))
    if len(rows.uris) > len(names):
        yield f"    … and {len(rows.uris) - len(names):,} more"


def _short_names(uris: Sequence[str]) -> list[str]:
    """Returns the names of files, with those folders before them that not all have."""
    folders = [uri.rpartition("/")[0].split("/") for uri in uris]
    common = 0
    for parts in zip(*folders, strict=False):
        if len(set(parts)) > 1:
            break
        common += 1
    return ["/".join(uri.split("/")[common:]) for uri in uris]


def _reading(uri: str, run_id: str, output_format: OutputFormat) -> str:
    """Returns a line of Python that reads the predictions of a run."""
    folder = uri.removeprefix("file://")
    if output_format == OutputFormat.DELTA:
        table, chosen = join(folder, TableName.PREDICTIONS), [("run_id", "=", run_id)]
        return f"deltalake.DeltaTable({table!r}).to_pandas(filters={chosen})"
    return f"pandas.read_{output_format}({join(folder, output_format.file_name or '')!r})"
