"""Exploring: what is planted is found again, in which time; searching; and what peers do on the same features.

Made features are compared and searched by the commands that users give; with photographs and weights, photographs too.
"""

import csv
import dataclasses
import importlib.util
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow.parquet as pq

from pipelines.jobs.exploration import PAGE_FILE
from schemas.fragments import TableName
from schemas.search import find_index
from schemas.store import FeatureStore
from tests.benchmarks.made_tables import LABEL, MadeTable, make_table, write_rows
from tests.benchmarks.measuring import Measurement
from tests.benchmarks.probes import store_without_rows
from tests.benchmarks.results import Figure
from tests.benchmarks.workshop import Unmeasurable, Workshop, local_path
from tests.support.browser import CHROMIUM, opened_browser
from tests.support.planted import KINDS_OF_COPY, save_copy

ROWS: Final = 100_000
SEARCHED: Final = 1_000_000
_WIDE: Final = 1024
_NARROW: Final = 256
_FEW: Final = 2000
# One image in so many has a near-copy, whose features are so far from its own, relative to their length.
_ONE_COPY_IN: Final = 200
_NOISE: Final = 0.02
_LABELLED: Final = MadeTable(4000, _NARROW, 10)
_TURNED: Final = 0.02
_FIRST: Final = 40
_COPIES_OF_PICTURES: Final = 100
_K: Final = 15
# Pans the map to and fro for some seconds, once it has measured how fast it draws, and tells the frames a second.
_MOVED: Final = """(async () => {
  const { map } = window.page;
  const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
  map.pan(1, 1);
  await pause(2000);
  const draw = map.drawPoints.bind(map);
  map.draws = 0;
  map.drawPoints = (view) => { map.draws += 1; draw(view); };
  map.frames = [];
  const started = performance.now();
  let frames = 0;
  await new Promise((done) => {
    const step = (now) => {
      frames += 1;
      map.pan(frames % 120 < 60 ? 9 : -9, frames % 40 < 20 ? 4 : -4);
      if (now - started < 5000) requestAnimationFrame(step);
      else done();
    };
    requestAnimationFrame(step);
  });
  return (1000 * frames) / (performance.now() - started);
})()"""


@dataclasses.dataclass(frozen=True)
class ExploredBase:
    """A conv base with weights that mean something, through which photographs are explored.

    Attributes:
        conv_base: A builder of `keras.applications`.
        argument: One of its arguments, as NAME=VALUE.
        weights: The file of its weights.
    """

    conv_base: str
    argument: str
    weights: str

    @classmethod
    def parse(cls, text: str) -> "ExploredBase":
        """Reads `MobileNet:alpha=0.25:weights.h5`."""
        conv_base, argument, weights = text.split(":", 2)
        return cls(conv_base, argument, str(Path(weights).absolute()))


def exploring(
    workshop: Workshop,
    rounds: int,
    *,
    rows: int = ROWS,
    searched: int = SEARCHED,
    pictures: Sequence[str] = (),
    bases: Sequence[ExploredBase] = (),
) -> list[Figure]:
    """Measures everything, in processes of their own.

    Raises:
        Unmeasurable: If a table cannot be made.
    """
    figures = [*_near_duplicates(workshop, rows), *_search(workshop, searched, rounds), *_made_labels(workshop)]
    for base in bases:
        figures += _photographs(workshop, pictures, base)
    return figures


def _near_duplicates(workshop: Workshop, rows: int) -> Iterator[Figure]:
    table = MadeTable(rows, _WIDE, 1)  # Of several classes, most of the time would be that of the probes.
    store = make_table(workshop.warm_store(store_without_rows(workshop, _WIDE)), table)
    copies = rows // _ONE_COPY_IN
    _plant_copies(store, rows, copies)
    output, measured = _explored(workshop, store)
    name = f"near-duplicates, leaks and neighbours, {rows + copies:,} × {_WIDE}"
    yield from _costs(name, measured)
    if not measured.exit_code:
        yield from _found_copies(output, rows, copies)
        yield from _frames(workshop, output)
    yield from _costs(
        f"scikit-learn, {_K} neighbours of each, brute force",
        _peer(workshop, store, "--queries=0", f"--k={_K + 1}"),
        "sklearn",
    )


def _plant_copies(store: FeatureStore, rows: int, copies: int) -> None:
    """Adds near-copies of the first rows, in another split."""
    (layer,) = store.spec.layers
    first = store.scan([layer, "uri", "split"], [("uri", "<", _uri(copies))])
    table = first.to_arrow().sort_by("uri")
    features = first.to_numpy()[np.argsort(first.to_numpy("uri"))]
    rng = np.random.default_rng(1)
    noise = rng.standard_normal(features.shape, np.float32)
    noise *= _NOISE * np.linalg.norm(features, axis=1, keepdims=True) / np.linalg.norm(noise, axis=1, keepdims=True)
    others = {"train": "test", "test": "train", "validation": "train"}
    splits = [others[split] for split in table["split"].to_pylist()]
    fragment = write_rows(store, range(rows, rows + copies), features + noise, {"split": splits})
    store.commit_fragments(TableName.FEATURES, "copies", [fragment])


def _found_copies(output: Path, rows: int, copies: int) -> Iterator[Figure]:
    groups = _groups(output)
    found = [number for number in range(copies) if {_uri(number), _uri(rows + number)} in groups]
    yield Figure("planted near-copies that are found", (len(found) / copies,), "")
    yield Figure("groups that were planted", (len(found) / max(len(groups), 1),), "")


def _frames(workshop: Workshop, output: Path) -> Iterator[Figure]:
    """Moves the map of a page about, in a browser without a graphics card."""
    name = "frames a second of its map, moved in Chromium without a graphics card"
    if CHROMIUM is None:
        yield Figure(name, (), "", "Chromium is not installed")
        return
    with opened_browser(workshop.scratch("browser")) as browser:
        browser.open(output / PAGE_FILE)
        yield Figure(name, (browser.value(_MOVED),), "")
        yield Figure("of them drawn", (browser.value("window.page.map.draws / window.page.map.frames.length"),), "")


def _search(workshop: Workshop, rows: int, rounds: int) -> Iterator[Figure]:
    published = store_without_rows(workshop, _NARROW)
    times = {}
    for count in (rows, _FEW):
        store = make_table(workshop.warm_store(published), MadeTable(count, _NARROW, 52))
        command = [sys.executable, "-m", "pipelines.search", store.uri, f"--uri={_uri(7)}"]
        runs = [workshop.run(command) for _ in range(rounds + 1)][1:]  # The first one fills the page cache.
        failure = next((run.message for run in runs if run.exit_code), "")
        name = f"pipelines.search among {count:,} × {_NARROW}"
        times[count] = Figure(name, tuple(run.seconds for run in runs), "s", failure)
        yield times[count]
        if count == rows:
            yield Figure("its peak memory", tuple(run.peak_bytes / 1e6 for run in runs), "MB", failure)
            yield from _costs(
                "scikit-learn, 20 neighbours of one", _peer(workshop, store, "--queries=1", "--k=20"), "sklearn"
            )
            yield from _by_index(workshop, store, count, rounds)
    most, least = times[rows].median, times[_FEW].median
    beyond = () if most is None or least is None else (most - least,)
    yield Figure("beyond start-up", beyond, "s", "" if beyond else "not run")


def _by_index(workshop: Workshop, store: FeatureStore, rows: int, rounds: int) -> Iterator[Figure]:
    """Makes an index, searches by it, adds near-copies to it, and explores by cells."""
    name = f"pipelines.index, {rows:,} × {_NARROW}"
    if importlib.util.find_spec("faiss") is None:
        yield Figure(name, (), "s", "faiss is not installed")
        return
    make = [sys.executable, "-m", "pipelines.index", store.uri]
    yield from _costs(name, workshop.run(make))
    stored = find_index(store.uri, store.spec.layers[0])
    if stored is None:
        return
    yield Figure("its recall of the 20 nearest", (stored.recall,), "")
    yield Figure("cells that a search looks into", (float(stored.probes),), "")
    search = [sys.executable, "-m", "pipelines.search", store.uri, f"--uri={_uri(7)}"]
    runs = [workshop.run(search) for _ in range(rounds + 1)][1:]
    failure = next((run.message for run in runs if run.exit_code), "")
    yield Figure("pipelines.search by it", tuple(run.seconds for run in runs), "s", failure)
    yield Figure("its peak memory", tuple(run.peak_bytes / 1e6 for run in runs), "MB", failure)
    copies = rows // _ONE_COPY_IN
    _plant_copies(store, rows, copies)
    yield from _costs(f"pipelines.index, {copies:,} more", workshop.run(make))
    output, measured = _explored(workshop, store)
    yield from _costs(f"near-duplicates, leaks and neighbours by cells, {rows + copies:,} × {_NARROW}", measured)
    if not measured.exit_code:
        yield from _found_copies(output, rows, copies)


def _made_labels(workshop: Workshop) -> Iterator[Figure]:
    """Turns labels of a made table by a manifest, and counts those among the first that are listed."""
    store = make_table(workshop.warm_store(store_without_rows(workshop, _NARROW)), _LABELLED)
    labels = dict(zip(store.scan().to_numpy("uri"), store.scan().to_numpy(LABEL), strict=True))
    yield from _turned_labels(workshop, store, labels, "made features")


def _turned_labels(workshop: Workshop, store: FeatureStore, labels: dict[str, str], name: str) -> Iterator[Figure]:
    rng = np.random.default_rng(2)
    turned = set(rng.choice(sorted(labels), round(_TURNED * len(labels)), replace=False).tolist())
    classes = sorted(set(labels.values()))
    given = {
        uri: classes[(classes.index(label) + 1) % len(classes)] if uri in turned else label
        for uri, label in labels.items()
    }
    file = workshop.scratch("labels").with_suffix(".csv")
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="") as opened:
        csv.writer(opened).writerows([("uri", "label"), *given.items()])
    output, measured = _explored(workshop, store, f"--labels={file}")
    yield from _costs(f"{name}: {len(labels):,} explored, {_TURNED:.0%} of the labels turned", measured)
    if not measured.exit_code:
        found = pq.read_table(output / "label_issues.parquet")["uri"].to_pylist()
        yield from _hits(found, turned)
    peer = _peer(workshop, store, f"--labels={file}", module="label_issues", package="cleanlab")
    yield from _costs("cleanlab, with scikit-learn's LogisticRegression", peer, "cleanlab")
    if peer is not None and not peer.exit_code:
        yield from _hits(json.loads(_peer_figures(workshop).read_text())["uris"], turned)


def _hits(found: Sequence[str], turned: set[str]) -> Iterator[Figure]:
    first = found[:_FIRST]
    yield Figure(f"turned labels among the first {_FIRST}", (len(turned & set(first)) / max(len(first), 1),), "")
    yield Figure("turned labels that are listed", (len(turned & set(found)) / len(turned),), "")


def _photographs(workshop: Workshop, pictures: Sequence[str], base: ExploredBase) -> Iterator[Figure]:
    """Plants near-copies among photographs in folders of their classes, and turns labels."""
    folder = workshop.scratch("planted")
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    copied = [pictures[number] for number in rng.permutation(len(pictures))[:_COPIES_OF_PICTURES]]
    copies = {}
    for number, original in enumerate(copied):
        copy = folder / f"{number}.jpg"
        save_copy(Path(original), number % KINDS_OF_COPY, copy)
        copies[copy.as_uri()] = Path(original).as_uri()
    labels = {Path(path).as_uri(): Path(path).parent.name for path in pictures}
    rows = [*labels.items(), *((copy, labels[original]) for copy, original in copies.items())]
    with (folder / "manifest.csv").open("w", newline="") as opened:
        csv.writer(opened).writerows([("uri", "label"), *rows])
    extracted = workshop.run(
        [
            sys.executable, "-m", "pipelines.extract", f"--input={folder}/manifest.csv", f"--output={folder}/store",
            f"--conv_base={base.conv_base}", f"--conv_base_arg={base.argument}", f"--weights={base.weights}",
        ]
    )  # fmt: skip
    if extracted.exit_code:
        raise Unmeasurable(extracted.message)
    store, name = FeatureStore.open(f"{folder}/store"), f"{base.conv_base}, {base.argument}"
    output, measured = _explored(workshop, store)
    yield from _costs(f"{name}: {len(rows):,} photographs explored, {len(copies)} near-copies planted", measured)
    if not measured.exit_code:
        groups = _groups(output)
        found = sum({copy, original} in groups for copy, original in copies.items())
        yield Figure("planted near-copies that are found", (found / len(copies),), "")
        yield Figure("further groups", (float(len(groups) - found),), "")
    yield from _turned_labels(workshop, store, dict(rows), name)


def _explored(workshop: Workshop, store: FeatureStore, *options: str) -> tuple[Path, Measurement]:
    output = workshop.scratch("explore")
    command = [sys.executable, "-m", "pipelines.explore", store.uri, f"--output={output}"]
    return output, workshop.run([*command, "--thumbnails=0", "--projection=pca", *options])


def _groups(output: Path) -> list[set[str]]:
    groups: dict[int, set[str]] = {}
    for row in pq.read_table(output / "duplicates.parquet").to_pylist():
        groups.setdefault(row["group"], set()).add(row["uri"])
    return list(groups.values())


def _costs(name: str, measured: Measurement | None, package: str = "") -> Iterator[Figure]:
    if measured is None:
        yield Figure(name, (), "s", f"{package} is not installed")
        return
    failure = measured.message or f"exit code {measured.exit_code}" if measured.exit_code else ""
    yield Figure(name, (measured.seconds,), "s", failure)
    yield Figure("its CPU", (measured.cpu_seconds,), "s", failure)
    yield Figure("its peak memory", (measured.peak_bytes / 1e6,), "MB", failure)


def _peer(
    workshop: Workshop,
    store: FeatureStore,
    *options: str,
    module: str = "nearest_neighbors",
    package: str = "sklearn",
) -> Measurement | None:
    """Runs a peer over the files of a table; None where it is not installed."""
    if importlib.util.find_spec(package) is None:
        return None
    folder = Path(local_path(store.uri), "features")
    return workshop.run(
        [
            sys.executable, "-m", f"tests.benchmarks.peers.{module}", f"--table={folder}",
            f"--layer={store.spec.layers[0]}", f"--figures={_peer_figures(workshop)}", *options,
        ]
    )  # fmt: skip


def _peer_figures(workshop: Workshop) -> Path:
    return workshop.folder.absolute() / "scratch" / "peer.json"


def _uri(number: int) -> str:
    return f"file:///pictures/{number:08}.jpg"
