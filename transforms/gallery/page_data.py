"""What the script of the page of an exploration is given, packed into a text that no markup can be in."""

import base64
import dataclasses
import gzip
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.exploration import Drift, Exploration, Group, Oddity, find_oddities, names_of
from transforms.gallery.page_columns import page_columns
from transforms.gallery.page_notes import GROUPS_SHOWN, ISSUES_SHOWN
from transforms.gallery.page_rows import IMAGES_PER_GROUP, on_page
from transforms.gallery.thumbnails import COLUMNS, SIDE, Thumbnails


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


def packed_data(
    found: Exploration,
    rows: np.ndarray,
    thumbnails: Thumbnails,
    failures: Sequence[tuple[FailedImage, int]],
    drift: Drift | None,
) -> str:
    """Returns everything that the script shows, as JSON packed by gzip in base64.

    Args:
        found: What was found.
        rows: int64 [n], the images of the page.
        thumbnails: Pictures of all images.
        failures: Images without features, and the place of their pictures on the sheets, or -1.
        drift: How two sets of the images differ, if they were compared.
    """
    number = np.full(len(found.images) + 1, -1, np.int32)
    number[rows] = np.arange(len(rows))
    oddities = find_oddities(found.images, found.neighbours, thumbnails.brightness, thumbnails.sharpness)
    return _packed(
        {
            **_images(found, rows, thumbnails, number),
            "groups": [_group(group, number) for group in found.groups[:GROUPS_SHOWN]],
            "issues": list(_issues(found, number)),
            "oddities": [_oddity(oddity, number) for oddity in oddities],
            "novel": _novel(found, rows, drift),
            "failures": [{**dataclasses.asdict(failure), "thumb": place} for failure, place in failures],
        }
    )


def _images(found: Exploration, rows: np.ndarray, thumbnails: Thumbnails, number: np.ndarray) -> dict[str, Any]:
    table = found.images.table.take(pa.array(rows))
    places = on_page(found.points)[rows]
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
    }


def _oddity(oddity: Oddity, number: np.ndarray) -> dict[str, Any]:
    listed = zip(number[oddity.rows].tolist(), oddity.texts, strict=True)
    images = [(image, text) for image, text in listed if image >= 0]
    return {"title": oddity.title, "note": oddity.note, "images": images}


def _common_start(first: str, last: str) -> str:
    """Returns what all of some texts begin with, by the first and the last of them in their order."""
    alike = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    return "".join(letter for letter, _ in alike)


def _group(group: Group, number: np.ndarray) -> dict[str, Any]:
    members = zip(number[group.rows], group.distances, group.identical, strict=True)
    shown = [(int(image), float(distance), bool(same)) for image, distance, same in members if image >= 0]
    return {
        "images": shown[:IMAGES_PER_GROUP],
        "more": max(len(group.rows) - IMAGES_PER_GROUP, 0),
        "splits": group.splits,
        "labels": group.labels,
    }


def _novel(found: Exploration, rows: np.ndarray, drift: Drift | None) -> list[dict[str, Any]]:
    """Returns the novel images that are on the page; those of another store are not."""
    if drift is None:
        return []
    uris = found.images.table["uri"].take(pa.array(rows))
    places = pc.index_in(pa.array([image.uri for image in drift.novel], pa.string()), value_set=uris.combine_chunks())
    numbered = zip(places.to_pylist(), drift.novel, strict=True)
    return [{"image": number, "distance": image.distance} for number, image in numbered if number is not None]


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


def _numbers(values: np.ndarray, kind: type[np.generic]) -> str:
    return _base64(np.ascontiguousarray(values, kind))


def _base64(values: np.ndarray) -> str:
    return base64.b64encode(values.astype(values.dtype.newbyteorder("<")).tobytes()).decode()


def _packed(data: Mapping[str, Any]) -> str:
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
    # A time in the file would make two pages of the same findings differ.
    return base64.b64encode(gzip.compress(text.encode(errors="surrogatepass"), 6, mtime=0)).decode()
