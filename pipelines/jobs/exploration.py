"""What `pipelines.explore` does: reads images and labels, has them compared, reads pictures, writes what was found."""

import argparse
import collections
import dataclasses
import io
import json
import re
from collections.abc import Callable
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.jobs.store import asked_images, pinned_version
from pipelines.options import decoding_limits
from schemas.annotations import LABELS, has_label_lists
from schemas.classifiers import SplitFractions
from schemas.delta import Scan, parse_where
from schemas.errors import InvalidLabels, SpecMismatch, UsageError, nearest_names, shown
from schemas.storage import join, without_secrets, write_file
from schemas.store import FeatureStore
from transforms.exploration import (
    Drift,
    DriftSide,
    Exploration,
    ExploredImages,
    Projection,
    duplicates_table,
    explore,
    issues_table,
    measure_drift,
    names_of,
    read_explored,
)
from transforms.gallery import (
    FailedImage,
    draw_thumbnails,
    page_html,
    sheet_name,
    shown_rows,
    wanted_thumbnails,
)
from transforms.training import LABEL, LabelFile, LabelledImages, SplitBy, read_label_file, read_labelled_images

PAGE_FILE: Final = "index.html"
DUPLICATES_FILE: Final = "duplicates.parquet"
ISSUES_FILE: Final = "label_issues.parquet"
DRIFT_FILE: Final = "drift.json"

_FAILURES_SHOWN: Final = 300
_URIS_TOGETHER: Final = 2**18

# Told what is being done, and the share of it that is, 0 to 1.
Say = Callable[[str, float], None]


@dataclasses.dataclass(frozen=True)
class WrittenExploration:
    """What was written.

    Attributes:
        found: What was found.
        drift: How two sets of images differ, if they were compared.
        files: The names of the files, the page first.
        thumbnails: The pictures on the page.
        size: The bytes of all files.
    """

    found: Exploration
    drift: Drift | None
    files: tuple[str, ...]
    thumbnails: int
    size: int

    def drifts_too_far(self, most: float | None) -> bool:
        """Whether both sets can be told apart better than was allowed."""
        return self.drift is not None and self.drift.exceeds(most)


def explored(given: argparse.Namespace, say: Say) -> WrittenExploration:
    """Explores a store as the options say, and writes what was found into the folder of `--output`.

    Raises:
        ConvbaseError: If there is nothing to explore, or the folder cannot be written.
    """
    store = FeatureStore.open(given.store)
    layer, version = store.layer(given.layer), pinned_version(store, given.table_version)
    where = asked_images(given, store, version)
    file = read_label_file(given.labels, given.label_column) if given.labels else None
    say("reading", 0.0)
    images = read_explored(store, layer, version, where, given.sample, exact=given.exact)
    labelled = _labelled(images, given.label_column, file)
    drift = None
    if given.compare:
        say("comparing both sides", 0.0)
        drift = _drift(given, store, images, file)
    drawn = Projection(given.projection)
    found = explore(images, labelled, given.duplicate_distance, drawn, say, exact=given.exact)
    return _written(given, store, found, drift, say)


def _drift(given: argparse.Namespace, store: FeatureStore, images: ExploredImages, file: LabelFile | None) -> Drift:
    """Measures how both sides of `--compare` differ; images that a snapshot before has already are not later ones.

    Raises:
        UsageError: If a side is neither a condition nor a snapshot of the same features, or has too few images.
    """
    snapshots = [_snapshot(store, text) for text in given.compare]
    read = [images if snapshot is None else _read_snapshot(given, images, *snapshot) for snapshot in snapshots]
    before, later = (
        DriftSide.of(side, _label_names(side, given.label_column, file), _rows_of(side, text, snapshot is None))
        for side, text, snapshot in zip(read, given.compare, snapshots, strict=True)
    )
    if any(snapshots):
        later = later.take(np.flatnonzero(~later.are_in(before)))
    return measure_drift(before, later)


def _snapshot(store: FeatureStore, text: str) -> tuple[FeatureStore, int] | None:
    """Returns what a side of a comparison names if it is a snapshot: a version of the store, or another store.

    Raises:
        UsageError: If there is no such version, or the other store holds other features.
    """
    if named := re.fullmatch(r"table_version=(\d+)", text):
        return store, pinned_version(store, int(named[1]))
    uri, version = re.fullmatch(r"(.*?)(?:@(\d+))?", text, re.DOTALL).groups()  # type: ignore[union-attr]
    other = None if re.search("[=<>]", uri) else FeatureStore.find(uri)
    if other is None:
        return None
    if other.fingerprint != store.fingerprint:
        differences = "; ".join(other.spec.differences(store.spec.fields_of_features()))
        raise SpecMismatch(f"--compare: {shown(text)} holds features of another spec ({differences}).")
    return other, pinned_version(other, None if version is None else int(version))


def _read_snapshot(
    given: argparse.Namespace, images: ExploredImages, store: FeatureStore, version: int
) -> ExploredImages:
    return read_explored(store, images.layer, version, asked_images(given, store, version), given.sample)


def _label_names(images: ExploredImages, column: str, file: LabelFile | None) -> pa.Array | None:
    labelled = _labelled(images, column, file)
    return None if isinstance(labelled, InvalidLabels) else names_of(labelled.labels, labelled.targets)


def _rows_of(images: ExploredImages, text: str, is_condition: bool) -> np.ndarray | None:
    """Returns int64 [m], the images of a side of a comparison; None where it is a snapshot, for all of them.

    Raises:
        UsageError: If it is no condition.
    """
    if not is_condition:
        return None
    if span := re.fullmatch(r"(\w+)=(.+)\.\.(.+)", text):
        name, first, last = span.groups()
        text = f"{name} >= {_quoted(first)} AND {name} <= {_quoted(last)}"
    elif value := re.fullmatch(r"(\w+)=([^=' ]+)", text):
        text = f"{value[1]} = {_quoted(value[2])}"
    numbered = images.table.append_column("", pa.array(np.arange(len(images))))
    rows: np.ndarray = numbered.filter(parse_where(text, images.table.schema, "--compare"))[""].to_numpy()
    return rows


def _quoted(text: str) -> str:
    return "'" + text.strip("'").replace("'", "''") + "'"


def _labelled(images: ExploredImages, column: str, file: LabelFile | None) -> LabelledImages | InvalidLabels:
    """Returns the labels of images, or why there are none to speak of.

    Raises:
        UsageError: If there is no column of the name that was given.
    """
    table = images.table
    if file is None and column not in table.column_names:
        raise UsageError(
            f"The table has no column '{column}' with labels{nearest_names(column, table.column_names) or '.'}"
        )
    if (
        file is None
        and column == LABEL
        and has_label_lists(table.schema)
        and not pc.any(table[LABEL].is_valid()).as_py()
    ):
        column = LABELS
    try:
        return read_labelled_images(table, column, SplitBy.AUTO, SplitFractions(), file)
    except InvalidLabels as error:
        return error


def _written(
    given: argparse.Namespace, store: FeatureStore, found: Exploration, drift: Drift | None, say: Say
) -> WrittenExploration:
    sizes: dict[str, int] = {}

    def write(name: str, data: bytes) -> None:
        write_file(join(given.output, name), data)
        sizes[name] = len(data)

    rows = shown_rows(found)
    wanted = wanted_thumbnails(found, rows, given.thumbnails)
    failures = _failures(store, found.images.version)
    shown = failures[: min(_FAILURES_SHOWN, given.thumbnails)]
    uris = [*found.images.table["uri"].to_pylist(), *(failure.uri for failure in shown)]
    wanted = np.concatenate([wanted, np.arange(len(found.images), len(uris))])
    done = 0

    def count(pictures: int) -> None:
        nonlocal done
        done += pictures
        say("reading pictures", done / max(len(wanted), 1))

    thumbnails = draw_thumbnails(
        uris,
        wanted,
        limits=decoding_limits(given),
        max_bytes=given.max_bytes,
        write=lambda sheet, data: write(sheet_name(sheet), data),
        on_done=count,
    )
    say("writing", 0.0)
    write(DUPLICATES_FILE, _parquet(duplicates_table(found.images, found.groups)))
    if (issues := _issues(found)) is not None:
        write(ISSUES_FILE, _parquet(issues))
    if drift is not None:
        write(DRIFT_FILE, json.dumps(drift.to_dict(), indent=2).encode())
    places = thumbnails.places[len(found.images) :].tolist() + [-1] * (len(failures) - len(shown))
    codes = collections.Counter(failure.code for failure in failures).most_common()
    listed = list(zip(failures, places, strict=True))[:_FAILURES_SHOWN]
    own = thumbnails.first(len(found.images))
    about = _about(given, store, found)
    page = page_html(found, rows, own, failures=listed, failure_codes=codes, drift=drift, about=about)
    write(PAGE_FILE, page.encode())
    files = (PAGE_FILE, *(name for name in sizes if name.endswith((".parquet", ".json"))))
    return WrittenExploration(found, drift, files, int(np.count_nonzero(thumbnails.places >= 0)), sum(sizes.values()))


def _issues(found: Exploration) -> pa.Table | None:
    judgement = found.judgement
    if judgement.labels is None or judgement.issues is None:
        return None
    return issues_table(found.images.table["uri"], judgement.labels, judgement.targets, judgement.issues)


def _failures(store: FeatureStore, version: int) -> list[FailedImage]:
    """Returns the images of the table `failures`, each once, by its last error, but for those that have features."""
    rows = Scan(store.failures(), ["uri", "code", "message", "failed_at"]).to_arrow().sort_by("failed_at")
    if rows.num_rows:  # Of all images, not only of those that are explored.
        for known in store.scan(["uri"], table_version=version).to_batches(_URIS_TOGETHER):
            rows = rows.filter(pc.invert(pc.is_in(rows["uri"], value_set=known["uri"])))
    last = {row["uri"]: FailedImage(row["uri"], row["code"], row["message"]) for row in rows.to_pylist()}
    return sorted(last.values(), key=lambda failure: (failure.code, failure.uri))


def _parquet(table: pa.Table) -> bytes:
    file = io.BytesIO()
    pq.write_table(table, file)
    return file.getvalue()


def _about(given: argparse.Namespace, store: FeatureStore, found: Exploration) -> dict[str, str]:
    images = found.images
    about = {
        "store": without_secrets(store.uri),
        "table version": str(images.version),
        "layer": f"{images.layer}, {images.vectors.shape[1]:,} dimensions",
        "conv base": f"{store.spec.conv_base}, fingerprint {store.fingerprint}",
        "images": f"{len(images):,} of {images.matching:,}" + (f", where {given.where}" if given.where else ""),
        "distance": "cosine distance, 0 to 2: 0 is the same direction, 1 orthogonal",
        "near-duplicates": f"at a distance of at most {found.distance:.3g}; all of them are in {DUPLICATES_FILE}",
    }
    if (recall := found.recall) is not None:
        about["compared"] = (
            f"with those in cells near them: on a sample this found {recall.copies:.1%} of near-duplicates and "
            f"{recall.neighbours:.1%} of the nearest neighbours"
        )
    if found.judgement.issues is not None:
        about["likely wrong labels"] = f"all of them are in {ISSUES_FILE}"
    return about
