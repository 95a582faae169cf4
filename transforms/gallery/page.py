"""The page of an exploration: one HTML file, its data packed inside, with the sheets of thumbnails beside it."""

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from transforms.evaluation import render
from transforms.exploration import Drift, Exploration
from transforms.gallery.histogram import distance_histogram
from transforms.gallery.page_data import FailedImage, packed_data
from transforms.gallery.page_notes import page_notes
from transforms.gallery.thumbnails import Thumbnails

_FOLDER: Final = Path(__file__).parent


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
    import markupsafe

    script, css = ((_FOLDER / name).read_text() for name in ("page.js", "page.css"))
    failed = sum(images for _, images in failure_codes)
    return render(
        "page.html.j2",
        _FOLDER,
        title="Exploration of " + about["store"].rstrip("/").rpartition("/")[2],
        policy=_policy(script, css),
        css=markupsafe.Markup(css),  # noqa: S704 - it is our own, as the script is, and the data are in base64.
        script=markupsafe.Markup(script),  # noqa: S704
        data=markupsafe.Markup(packed_data(found, rows, thumbnails, failures, drift)),  # noqa: S704
        tabs=list(_tabs(found, drift, failed)),
        count=len(rows),
        notes=page_notes(found, rows, thumbnails.places, drift, failed),
        histogram=distance_histogram(found.neighbours.distances[:, 0], found.distance),
        classes=found.judgement.classes,
        drift=drift,
        failure_codes=failure_codes,
        about=list(about.items()),
    )


def _tabs(found: Exploration, drift: Drift | None, failed: int) -> Iterator[tuple[str, str, int | None]]:
    """Yields the findings: their names on the page and for people, and how many there are."""
    leaks, issues = len(found.leaks), found.judgement.issues
    yield "map", "Map", None
    yield "leaks", "Leaks", leaks
    yield "duplicates", "Near-duplicates", len(found.groups) - leaks
    yield "issues", "Likely wrong labels", len(issues.rows) if issues else None
    yield "classes", "Classes", len(found.judgement.classes) or None
    yield "oddities", "Odd pictures", None
    if drift:
        yield "drift", "Drift", None
    yield "failures", "Failures", failed
    yield "about", "About", None


def _policy(script: str, css: str) -> str:
    """Returns the content security policy: this script, this style, pictures of this place, and nothing else."""
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (script, css)]
    return (
        f"default-src 'none'; script-src 'sha256-{hashes[0]}'; style-src 'sha256-{hashes[1]}'; "
        "img-src 'self' file: data:; base-uri 'none'; form-action 'none'"
    )
