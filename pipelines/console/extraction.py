"""What a run prints at its end, and writes for machines."""

import argparse
import json
import shlex
import sys
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from pipelines.console.padded_lines import size_text
from schemas.errors import first_line, printable, with_count
from schemas.measures import Measures
from schemas.spec import FeatureSpec
from schemas.storage import check_file, write_file
from schemas.store import FeatureStore, InputCounts, LabelCounts
from transforms.machine import Measured, time_and_cost
from transforms.planning import shards_of

_NAME_WIDTH: Final = 22
_LINE_WIDTH: Final = 36

# Of labels: what is shown, and what other programs write where there is nothing.
_CLASSES_SHOWN: Final = 12
_NAMES_SHOWN: Final = 3
_LONGEST_NAME: Final = 40
_NO_VALUES: Final = frozenset({"na", "n/a", "nan", "null", "none", "<na>"})

_FIGURES: Final = (
    "listed",
    "skipped",
    "extracted",
    "augmented",
    "reused",
    "adopted",
    "failed",
    "remaining",
    "labels_updated",
    "seconds",
    "images_per_second",
    "table_version",
    "fingerprint",
    "run_id",
    "state",
    "message",
    "duplicates",
    "left_aside",
    "feature_bytes",
)


def committed_before_text(run_id: str) -> str:
    """Returns what is said of a run whose name has committed before: nothing is computed then."""
    return f"A run {run_id} has committed already, and a run commits once: this command adds nothing to it."


def check_figure_files(given: argparse.Namespace) -> None:
    """Checks that the files of figures that were asked for can be written.

    Raises:
        UsageError: If one cannot.
    """
    for option in ("summary", "metrics_file"):
        uri = getattr(given, option, None)
        if uri:
            check_file(f"--{option}={uri}", uri)


def write_summary(uri: str, row: Mapping[str, Any]) -> None:
    """Writes the closing figures of a run as JSON.

    Args:
        uri: The file.
        row: The run's row in the `runs` table.
    """
    write_json(uri, run_figures(row))


def run_figures(row: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the closing figures of a run by name, from its row in the `runs` table."""
    figures = {name: row[name] for name in _FIGURES}
    figures["failures_by_code"] = json.loads(row["failures_by_code"])
    figures["labels"] = json.loads(row["labels"] or "null")
    figures["metrics"] = json.loads(row["metrics"] or "null")
    return figures


def write_json(uri: str, figures: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> None:
    """Writes figures into a file. Where that fails, a line on standard error says so, for the run is done."""
    try:
        write_file(uri, (json.dumps(figures, indent=2) + "\n").encode())
    except OSError as error:
        print(
            f"warning: {uri} could not be written ({first_line(error)}); the table `runs` has the same figures.",
            file=sys.stderr,
        )


def extraction_text(row: Mapping[str, Any], store: FeatureStore) -> str:
    """Returns the closing summary of a run, one screen long."""
    measures = Measures.from_json(row["metrics"] or "{}")
    labels = LabelCounts.from_json(row["labels"] or "{}")
    lines = [
        f"Run {row['run_id']} is {row['state']}.",
        *figure_lines(*run_counts(row)),
        *label_lines(labels),
        f"  {row['seconds']:.1f} s, {row['images_per_second']:.1f} images/s",
        *_cost(measures),
        f"  {size_text(row['feature_bytes'])} of Parquet, version {row['table_version']} of the table",
        f"  store {store.uri}, fingerprint {store.fingerprint}",
        f"  columns {', '.join(f'{name} {list(shape)}' for name, shape in store.spec.shape_by_layer.items())}",
        *label_warnings(labels),
        f"Look at it: python -m pipelines.inspect {shlex.quote(store.uri)}",
    ]
    return "\n".join(lines)


def run_counts(row: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Returns the counts of a run as its summary shows them, each with its words, from its row in `runs`."""
    failures = json.loads(row["failures_by_code"])
    labels = LabelCounts.from_json(row["labels"] or "{}")
    return [
        ("images in the input", row["listed"]),
        ("already in the store", row["skipped"]),
        *((("labels updated", row["labels_updated"]),) if row["labels_updated"] else ()),
        ("extracted", row["extracted"]),
        *((("  further, augmented rows", row["augmented"]),) if row["augmented"] else ()),
        ("  identical content", row["reused"]),
        *((("  of these adopted", row["adopted"]),) if row["adopted"] else ()),
        ("failed", row["failed"]),
        *((f"  {code}", count) for code, count in failures.items()),
        ("duplicate URIs", row["duplicates"]),
        ("ignored files", row["left_aside"]),
        *((("without a label", labels.unlabelled),) if labels.unlabelled else ()),
    ]


def planned_counts(counts: InputCounts, shard_size: int, spec: FeatureSpec) -> list[tuple[str, int]]:
    """Returns the counts of a dry run, each with its words; see `planned_text`."""
    rows = counts.planned * spec.rows_per_training_image
    most = ", at most" if spec.augmentation else ""
    return [
        ("images in the input", counts.listed),
        ("already in the store", counts.skipped),
        *((("labels to update", counts.outdated),) if counts.outdated else ()),
        ("to extract", counts.planned),
        ("shards", shards_of(counts.planned, shard_size)),
        *((("rows of features, at most", rows),) if spec.augmentation else ()),
        (f"bytes of features{most}", rows * spec.bytes_per_image),
    ]


def planned_text(counts: InputCounts, shard_size: int, spec: FeatureSpec, measured: Measured | None = None) -> str:
    """Returns what a dry run prints.

    Args:
        counts: What the run would make of its input.
        shard_size: Images a shard.
        spec: The spec of the features.
        measured: How fast this machine is with their conv base, where that was measured.
    """
    lines = [
        "Dry run; nothing is written.",
        *figure_lines(*planned_counts(counts, shard_size, spec)),
        *_expected_time(counts.planned * spec.rows_per_training_image, measured),
        *label_lines(counts.labels),
        f"  fingerprint {spec.fingerprint}",
        *label_warnings(counts.labels),
    ]
    return "\n".join(lines)


def _expected_time(rows: int, measured: Measured | None) -> Iterator[str]:
    if measured is not None:
        rate = measured.limit(measured.precision, measured.decode)
        took = time_and_cost(rows, rate, measured.price_per_hour)
        day = measured.measured_at.partition("T")[0]
        yield f"  time on this machine   {took} at {rate:,.1f} images/s, as measured on {day}"


def _cost(measures: Measures) -> list[str]:
    if not measures.batches:
        return []
    read = f"  {size_text(measures.bytes_read)} read; a batch took "
    batch = (
        f"{measures.batch_decode_milliseconds:.1f} ms to decode, {measures.batch_infer_milliseconds:.1f} ms in the base"
    )
    loads = f"  loads of the base: {sum(measures.loads.values())}, processes: {len(measures.loads)}"
    return [read + batch, *_tried_again(measures), f"{loads}, {measures.load_seconds:.1f} s"]


def _tried_again(measures: Measures) -> list[str]:
    if not measures.retries:
        return []
    throttled = f", {measures.throttled:,} as the storage asked for fewer" if measures.throttled else ""
    waited = f"{measures.waited_milliseconds / 1000:.1f} s of pauses"
    return [f"  {measures.reads:,} reads, {measures.retries:,} tried again{throttled}, {waited}"]


def figure_lines(*rows: tuple[str, int]) -> list[str]:
    """Returns a line for each name and count; a longer name takes from the space of its count."""
    return [f"  {name:<{_NAME_WIDTH}} {count:>{_LINE_WIDTH - max(_NAME_WIDTH, len(name))},}" for name, count in rows]


def label_lines(labels: LabelCounts) -> Iterator[str]:
    """Yields what labels and splits were found, where there are any."""
    if labels.labelled:
        shown = [f"{_short(name)} {images:,}" for name, images in list(labels.classes.items())[:_CLASSES_SHOWN]]
        further = len(labels.classes) - len(shown)
        if further or labels.of_further_classes:
            more = f"{further:,} or more further classes" if labels.of_further_classes else None
            shown.append(f"and {more or with_count(further, 'further class', 'further classes')}")
        yield f"  classes                {', '.join(shown)}"
    if labels.splits:
        counts = [f"{name} {labels.splits[name]:,}" for name in sorted(labels.splits, key=_split_order)]
        yield f"  splits                 {', '.join(counts)}"


def label_warnings(labels: LabelCounts) -> Iterator[str]:
    """Yields a sentence for whatever is odd about labels."""
    if not labels.labelled and len(labels.folders) > 1:
        yield (
            f"Warning: no image has a label, and the folders have names ({', '.join(map(_short, labels.folders))}): "
            "--labels_from=parent takes them as labels, of images that are in the store already too."
        )
    rare = [name for name, images in labels.classes.items() if images < 2]
    if rare:
        yield f"Warning: {_named(rare)} only one image: a class needs one to train on and one to validate."
    if labels.contradictions:
        yield (
            f"Warning: {with_count(labels.contradictions, 'image is', 'images are')} in the input with several labels, "
            f"such as {'; '.join(map(printable, labels.contradicted))}: one of them was taken."
        )
    for names in list(_alike(labels.classes))[:_NAMES_SHOWN]:
        how = "by blanks or case" if len(set(map(_composed, names))) > 1 else "in how their accents are written"
        yield f"Warning: the labels {_quoted(names)} differ only {how}, and are classes of their own."
    empty = [name for name in labels.classes if name.lower() in _NO_VALUES]
    if empty:
        yield f"Warning: {_quoted(empty)} is taken as a label; an image without one has an empty cell."


def _split_order(name: str) -> tuple[int, str]:
    order = ("train", "validation", "test")
    return (order.index(name) if name in order else len(order)), name


def _named(names: Sequence[str]) -> str:
    if len(names) == 1:
        return f"the class {_quoted(names)} has"
    further = f" and {len(names) - _NAMES_SHOWN:,} more" if len(names) > _NAMES_SHOWN else ""
    return f"{len(names):,} classes ({_quoted(names)}{further}) have"


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"'{_short(name)}'" for name in names[:_NAMES_SHOWN])


def _short(name: str) -> str:
    line = printable(name)
    return line if len(line) <= _LONGEST_NAME else f"{line[: _LONGEST_NAME - 1]}…"


def _composed(name: str) -> str:
    """Returns a name with its accents in one form: disks of macOS have them apart from their letters."""
    return unicodedata.normalize("NFC", name)


def _alike(classes: Mapping[str, int]) -> Iterator[list[str]]:
    by_form: dict[str, list[str]] = {}
    for name in classes:
        by_form.setdefault("".join(_composed(name).split()).casefold(), []).append(name)
    yield from (sorted(names) for names in by_form.values() if len(names) > 1)
