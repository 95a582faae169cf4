"""The page of an exploration: one HTML file, its data packed inside, with the sheets of thumbnails beside it."""

import base64
import dataclasses
import gzip
import hashlib
import itertools
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from transforms.evaluation import render
from transforms.exploration import Drift, Exploration, Group, Oddity, find_oddities, names_of
from transforms.gallery import page_notes
from transforms.gallery.page_columns import page_columns
from transforms.gallery.page_notes import GROUPS_SHOWN, ISSUES_SHOWN
from transforms.gallery.thumbnails import COLUMNS, SIDE, Thumbnails

# The most points of a map; of more images the densest places are thinned.
MOST_POINTS: Final = 100_000
_FOLDER: Final = Path(__file__).parent
_IMAGES_PER_GROUP: Final = 24
_CELLS: Final = 256
_GREATEST: Final = 65_535
_BARS: Final = 54
_LEFT, _RIGHT, _TOP, _BOTTOM = 10.0, 550.0, 14.0, 150.0


@dataclasses.dataclass(frozen=True)
class FailedImage:
    """An image without features.

    Attributes:
        uri: Where it is.
        code: Why it has none.
        message: Why, as a sentence.
    """

    uri: str
    code: str
    message: str


@dataclasses.dataclass(frozen=True)
class _Bar:
    x: float
    y: float
    width: float
    height: float
    images: int
    text: str
    near: bool


@dataclasses.dataclass(frozen=True)
class _Histogram:
    bars: Sequence[_Bar]
    mark: float | None
    ticks: Sequence[tuple[float, str]]


def shown_rows(found: Exploration) -> np.ndarray:
    """Returns int64 [m], the images of the page, ascending: all, or some of the densest places and all of findings."""
    images = len(found.images)
    if images <= MOST_POINTS:
        return np.arange(images)
    issues = found.judgement.issues
    listed = [group.rows[:_IMAGES_PER_GROUP] for group in found.groups[:GROUPS_SHOWN]]
    listed += [] if issues is None else [issues.rows[:ISSUES_SHOWN]]
    return np.unique(np.concatenate([thinned(_on_page(found.points), MOST_POINTS), *listed]))


def thinned(places: np.ndarray, most: int) -> np.ndarray:
    """Returns int64 [m], some of many points: of each small square of the map as many as there are, or an equal number.

    Args:
        places: uint16 [n, 2].
        most: About how many are wanted.
    """
    cells = (places[:, 1] // _CELLS).astype(np.int64) * _CELLS + places[:, 0] // _CELLS
    order = np.lexsort((np.random.default_rng(0).random(len(cells)), cells))
    within = np.arange(len(cells)) - np.searchsorted(cells[order], cells[order])
    kept = np.bincount(within).cumsum() <= most
    return np.sort(order[within < max(int(kept.sum()), 1)])


def wanted_thumbnails(found: Exploration, rows: np.ndarray, most: int) -> np.ndarray:
    """Returns int64 [m], the images of the page that get a thumbnail: those of findings first, then others evenly.

    Args:
        found: What was found.
        rows: int64 [n], the images of the page.
        most: The most thumbnails.
    """
    if len(rows) <= most:
        return rows
    issues = found.judgement.issues
    listed = [group.rows[:_IMAGES_PER_GROUP] for group in found.groups[:GROUPS_SHOWN]]
    listed += [] if issues is None else [issues.rows[:ISSUES_SHOWN]]
    spread = rows[np.random.default_rng(0).permutation(len(rows))]
    order = np.concatenate([*listed, spread])
    _, firsts = np.unique(order, return_index=True)
    return np.sort(order[np.sort(firsts)[:most]])


def page_html(
    found: Exploration,
    rows: np.ndarray,
    thumbnails: Thumbnails,
    *,
    failures: Sequence[tuple[FailedImage, int]],
    failure_codes: Sequence[tuple[str, int]],
    drift: Drift | None,
    about: Mapping[str, str],
) -> str:
    """Returns the page.

    Args:
        found: What was found.
        rows: int64 [n], the images that it shows; see `shown_rows`.
        thumbnails: Pictures of all images.
        failures: Images without features, and the place of their pictures on the sheets, or -1.
        failure_codes: How many there are of each code.
        drift: How two sets of the images differ, if they were compared.
        about: What is said of how the page was made.
    """
    oddities = list(find_oddities(found.images, found.neighbours, thumbnails.brightness, thumbnails.sharpness))
    data = {**_data(found, rows, thumbnails, oddities, failures), "novel": _novel(rows, drift)}
    script, css = ((_FOLDER / name).read_text() for name in ("page.js", "page.css"))
    leaks, issues = found.leaks, found.judgement.issues
    tabs = (
        ("map", "Map", None),
        ("leaks", "Leaks", len(leaks)),
        ("duplicates", "Near-duplicates", len(found.groups) - len(leaks)),
        ("issues", "Likely wrong labels", len(issues.rows) if issues else None),
        ("classes", "Classes", len(found.judgement.classes) or None),
        ("oddities", "Odd pictures", None),
        *([("drift", "Drift", None)] if drift else []),
        ("failures", "Failures", sum(images for _, images in failure_codes)),
        ("about", "About", None),
    )
    import markupsafe

    return render(
        "page.html.j2",
        _FOLDER,
        title="Exploration of " + about["store"].rstrip("/").rpartition("/")[2],
        summary=page_notes.summary(found),
        policy=_policy(script, css),
        css=markupsafe.Markup(css),  # noqa: S704 - it is our own, as the script is, and the data are in base64.
        script=markupsafe.Markup(script),  # noqa: S704
        data=markupsafe.Markup(_packed(data)),  # noqa: S704
        tabs=tabs,
        count=len(rows),
        map_note=page_notes.map_note(found, rows, thumbnails.places),
        leaks_note=page_notes.leaks_note(found),
        duplicates_note=page_notes.duplicates_note(found),
        histogram=_histogram(found.neighbours.distances[:, 0], found.distance),
        issues_note=page_notes.issues_note(found),
        classes=found.judgement.classes,
        classes_note=found.judgement.why_not
        if found.judgement.labels is None
        else f"Of the {found.neighbours.rows.shape[1]} nearest neighbours of each image, the share that is of its "
        "class, and the class that the others are of most often. The class that agrees least is first.",
        oddities_note="Told from sizes, from distances, and from the brightness and edges of thumbnails.",
        drift=drift,
        drift_note="" if drift is None else page_notes.drift_note(drift),
        failure_codes=failure_codes,
        failures_note="Images that have no features, from the table failures; they are not on the map."
        if failure_codes
        else "Every image has features.",
        about=list(about.items()),
    )


def _policy(script: str, css: str) -> str:
    """Returns the content security policy: this script, this style, pictures of this place, and nothing else."""
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (script, css)]
    return (
        f"default-src 'none'; script-src 'sha256-{hashes[0]}'; style-src 'sha256-{hashes[1]}'; "
        "img-src 'self' file: data:; base-uri 'none'; form-action 'none'"
    )


def _data(
    found: Exploration,
    rows: np.ndarray,
    thumbnails: Thumbnails,
    oddities: Iterable[Oddity],
    failures: Sequence[tuple[FailedImage, int]],
) -> dict[str, Any]:
    table = found.images.table.take(pa.array(rows))
    number = np.full(len(found.images) + 1, -1, np.int32)
    number[rows] = np.arange(len(rows))
    places = _on_page(found.points)[rows]
    neighbours = found.neighbours
    uris = table["uri"].to_pylist()
    start = _common_start(min(uris), max(uris))
    return {
        "count": len(rows),
        "x": _numbers(places[:, 0], np.uint16),
        "y": _numbers(places[:, 1], np.uint16),
        "width": _numbers(table["width"].to_numpy(), np.int32),
        "height": _numbers(table["height"].to_numpy(), np.int32),
        "thumbs": _numbers(thumbnails.places[rows], np.int32),
        "neighbours": _numbers(number[neighbours.rows[rows]], np.int32),
        "distances": _numbers(neighbours.distances[rows], np.float32),
        "side": SIDE,
        "per_row": COLUMNS,
        "uris": {"start": start, "rests": [uri[len(start) :] for uri in uris]},
        "columns": [
            {"name": column.name, "kind": column.kind, "names": list(column.names), "values": _base64(column.values)}
            for column in page_columns(found, rows, thumbnails)
        ],
        "groups": [_group(group, number) for group in found.groups[:GROUPS_SHOWN]],
        "issues": list(_issues(found, number)),
        "oddities": [
            {
                "title": oddity.title,
                "note": oddity.note,
                "images": [
                    (int(number[row]), text)
                    for row, text in zip(oddity.rows, oddity.texts, strict=True)
                    if number[row] >= 0
                ],
            }
            for oddity in oddities
        ],
        "failures": [{**dataclasses.asdict(failure), "thumb": place} for failure, place in failures],
    }


def _common_start(first: str, last: str) -> str:
    """Returns what all of some texts begin with, by the first and the last of them in their order."""
    alike = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    return "".join(letter for letter, _ in alike)


def _group(group: Group, number: np.ndarray) -> dict[str, Any]:
    members = zip(number[group.rows], group.distances, group.identical, strict=True)
    shown = [(int(image), float(distance), bool(same)) for image, distance, same in members if image >= 0]
    return {
        "images": shown[:_IMAGES_PER_GROUP],
        "more": max(len(group.rows) - _IMAGES_PER_GROUP, 0),
        "splits": group.splits,
        "labels": group.labels,
    }


def _novel(rows: np.ndarray, drift: Drift | None) -> list[dict[str, Any]]:
    if drift is None:
        return []
    number = dict(zip(rows.tolist(), range(len(rows)), strict=True))
    pairs = zip(drift.novel.tolist(), drift.distances.tolist(), strict=True)
    return [{"image": number[row], "distance": distance} for row, distance in pairs if row in number]


def _issues(found: Exploration, number: np.ndarray) -> Iterator[dict[str, Any]]:
    judgement = found.judgement
    if judgement.labels is None or judgement.issues is None:
        return
    issues = judgement.issues
    shown = slice(0, ISSUES_SHOWN)
    given = names_of(judgement.labels, judgement.targets[issues.rows[shown]]).to_pylist()
    suggested = names_of(judgement.labels, issues.suggested[shown]).to_pylist()
    for row, is_, rather, margin in zip(issues.rows[shown], given, suggested, issues.margins[shown], strict=True):
        yield {"image": int(number[row]), "given": _text(is_), "suggested": _text(rather), "margin": float(margin)}


def _text(names: str | list[str]) -> str:
    return (", ".join(names) or "nothing") if isinstance(names, list) else names


def _on_page(points: np.ndarray) -> np.ndarray:
    """Returns uint16 [n, 2], points in a square that keeps their proportions, the second axis downwards."""
    least, most = points.min(axis=0), points.max(axis=0)
    side = max(float((most - least).max()), 1e-12)
    shares = (points - (least + most) / 2) / side + 0.5
    shares[:, 1] = 1 - shares[:, 1]
    places: np.ndarray = np.clip(np.rint(shares * _GREATEST), 0, _GREATEST).astype(np.uint16)
    return places


def _numbers(values: np.ndarray, kind: type[np.generic]) -> str:
    return _base64(np.ascontiguousarray(values, kind))


def _base64(values: np.ndarray) -> str:
    return base64.b64encode(values.astype(values.dtype.newbyteorder("<")).tobytes()).decode()


def _packed(data: Mapping[str, Any]) -> str:
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
    # A time in the file would make two pages of the same findings differ.
    return base64.b64encode(gzip.compress(text.encode(errors="surrogatepass"), 6, mtime=0)).decode()


def _histogram(nearest: np.ndarray, threshold: float) -> _Histogram:
    """Returns how many images are how far from their nearest neighbours, on a logarithmic axis."""
    least = float(max(nearest.min(), 1e-6))
    low = math.log10(min(least, threshold or least) * 0.9)
    high = math.log10(max(float(nearest.max()), threshold, least) * 1.1)
    edges = np.linspace(low, high, _BARS + 1)
    counts, _ = np.histogram(np.log10(np.maximum(nearest, least)), edges)

    def x(exponent: float) -> float:
        return _LEFT + (_RIGHT - _LEFT) * (exponent - low) / (high - low)

    step = (_RIGHT - _LEFT) / _BARS
    tallest = max(int(counts.max()), 1)
    bars = [
        _Bar(x(edge), _BOTTOM - (_BOTTOM - _TOP) * count / tallest, step - 1, (_BOTTOM - _TOP) * count / tallest,
             int(count), f"{10**edge:.2g}", bool(10 ** (edge + (high - low) / _BARS / 2) <= threshold))
        for edge, count in zip(edges[:-1], counts, strict=True)
        if count
    ]  # fmt: skip
    ticks = [(x(exponent), f"{10.0**exponent:g}") for exponent in range(math.ceil(low), math.floor(high) + 1)]
    return _Histogram(bars, x(math.log10(threshold)) if threshold > 0 else None, ticks)
