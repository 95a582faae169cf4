"""What the page of an exploration says in words of each kind of finding."""

from typing import Final

import numpy as np

from schemas.classifiers import SPLITS
from schemas.errors import with_count
from transforms.exploration import Drift, Exploration, Projection
from transforms.training import SplitBy

# What is listed of each kind of finding; all of it is in the Parquet files.
GROUPS_SHOWN: Final = 500
ISSUES_SHOWN: Final = 1000


def page_notes(
    found: Exploration, rows: np.ndarray, places: np.ndarray, drift: Drift | None, failed: int
) -> dict[str, str]:
    """Returns the notes by the names of the findings, and the summary.

    Args:
        found: What was found.
        rows: int64 [n], the images of the page.
        places: int32 [all images], those of their thumbnails, -1 where there is none.
        drift: How two sets of the images differ, if they were compared.
        failed: Images without features.
    """
    return {
        "summary": _summary(found),
        "map": _map_note(found, rows, places),
        "leaks": _leaks_note(found),
        "duplicates": _duplicates_note(found),
        "issues": _issues_note(found),
        "classes": _classes_note(found),
        "oddities": "Found by image sizes, distances, and the brightness and sharpness of thumbnails.",
        "drift": "" if drift is None else _drift_note(drift),
        "failures": "Images without features, from the table failures; they are not on the map."
        if failed
        else "Every image has features.",
        "about": "The data of this page, and the files beside it.",
    }


def _summary(found: Exploration) -> str:
    """Returns what was found in one line."""
    images = found.images
    count = (
        with_count(len(images), "image")
        if len(images) == images.matching
        else f"{len(images):,} of {with_count(images.matching, 'image')}"
    )
    leaks, issues = len(found.leaks), found.judgement.issues
    parts = [f"{count}, layer {images.layer}, version {images.version} of the table"]
    across = f", {leaks:,} across splits" if leaks else ""
    parts.append(f"{with_count(len(found.groups), 'group')} of near-duplicates{across}")
    if issues is not None:
        parts.append(with_count(len(issues.rows), "likely wrong label"))
    return "; ".join(parts) + "."


def _map_note(found: Exploration, rows: np.ndarray, places: np.ndarray) -> str:
    """Returns how the map was drawn; `places` are those of all images' thumbnails, -1 where there is none."""
    how = "t-SNE" if found.projection == Projection.TSNE else "the two principal components"
    said = [f"Near points are similar pictures; projected by {how} from {found.images.vectors.shape[1]:,} dimensions."]
    if found.images.pooled:
        said.append("The layer has whole feature maps, which were averaged over their height and width.")
    if len(rows) < len(found.images):
        said.append(f"{len(rows):,} of {len(found.images):,} images are drawn; dense places are thinned.")
    pictures = int(np.count_nonzero(places[rows] >= 0))
    if pictures < len(rows):
        have = "has" if pictures == 1 else "have"
        said.append(f"{pictures:,} of the images {have} a thumbnail." if pictures else "There are no thumbnails.")
    return " ".join(said)


def _leaks_note(found: Exploration) -> str:
    """Returns how many groups are in several splits, and what decides these."""
    by = (
        "by the table's column split"
        if found.split_by == SplitBy.COLUMN
        else "by the hashes of images, as train splits"
    )
    if not found.leaks:
        return f"No group of near-duplicates is in several splits ({by})."
    images = sum(len(group.rows) for group in found.leaks)
    names = ", ".join(split.word for split in SPLITS)
    return (
        f"{with_count(len(found.leaks), 'group')} with {images:,} near-duplicates in all, each in several of {names} "
        f"({by}): metrics on such images are too good. " + _limits(len(found.leaks), GROUPS_SHOWN)
    )


def _duplicates_note(found: Exploration) -> str:
    """Returns how near near-duplicates are, and how many there are."""
    groups = [group for group in found.groups if not group.leaks]
    copies = sum(len(group.rows) - 1 for group in found.groups)
    identical = sum(int(group.identical.sum()) - 1 for group in found.groups)
    are_copies = with_count(copies, "image is a copy of another", "images are copies of others")
    return (
        f"Images at a distance of at most {found.distance:.3g} are near-duplicates (dashed line). {are_copies}, "
        f"{identical:,} of them with identical bytes; of each group the largest picture, then the oldest, is marked to "
        "be kept. Groups across splits are under Leaks. " + _limits(len(groups), GROUPS_SHOWN)
    )


def _issues_note(found: Exploration) -> str:
    """Returns how likely wrong labels were told, or why not."""
    judgement = found.judgement
    if judgement.issues is None:
        return judgement.why_not
    return (
        "Labels that cross-validated linear probes contradict with confidence (confident learning). The clearest are "
        "first; not every one of them is wrong. " + _limits(len(judgement.issues.rows), ISSUES_SHOWN)
    )


def _classes_note(found: Exploration) -> str:
    """Returns what the table of classes shows, or why there is none."""
    if found.judgement.labels is None:
        return found.judgement.why_not
    return (
        f"Of the {found.neighbours.rows.shape[1]} nearest neighbours of each image, the share that is of its class, "
        "and the class that most of the others have. The class with the lowest share is first."
    )


def _drift_note(drift: Drift) -> str:
    """Returns how well later images are told from earlier ones."""
    low, high = drift.interval
    verdict = "That is significant." if drift.is_found else "That may be chance."
    return (
        f"Shown one of the {drift.later:,} later images and one of the {drift.before:,} before, a linear classifier "
        f"picks the later one with probability {drift.auc:.3f} ({low:.3f} to {high:.3f}); 0.5 is a guess. {verdict}"
    )


def _limits(there_are: int, shown: int) -> str:
    return f"The first {shown:,} of {there_are:,} are shown, all are in the Parquet file." if there_are > shown else ""
