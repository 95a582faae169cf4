"""What `pipelines.explore` and `pipelines.search` print."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from pipelines.console.padded_lines import padded_line, size_text
from pipelines.console.runs import drift_text
from schemas.errors import printable, with_count
from schemas.storage import join

if TYPE_CHECKING:
    from transforms.exploration import Drift, Exploration

_SHOWN: Final = 5


def exploration_lines(
    found: "Exploration",
    drift: "Drift | None",
    output: str,
    *,
    files: Sequence[str],
    thumbnails: int,
    size: int,
    seconds: float,
) -> Iterator[str]:
    """Yields what was found, and which file to open.

    Args:
        found: What was found.
        drift: How two sets of images differ, if they were compared.
        output: The folder, as it was named.
        files: The files that were written, the page first.
        thumbnails: The pictures on the page.
        size: The bytes of all files.
        seconds: Wall time of the whole command.
    """
    images, leaks = found.images, found.leaks
    of = f"{len(images):,} of " if images.matching > len(images) else ""
    pooled = ", its maps averaged" if images.pooled else ""
    yield f"{of}{with_count(images.matching, 'image')}, layer {images.layer}{pooled}."
    if (recall := found.recall) is not None:
        yield (
            f"  compared by cells    on a sample this finds {recall.copies:.1%} of near-duplicates, "
            f"{recall.neighbours:.1%} of neighbours; --exact compares all"
        )
    copies = sum(len(group.rows) - 1 for group in found.groups)
    identical = sum(int(np.count_nonzero(group.identical)) - 1 for group in found.groups)
    yield (
        f"  near-duplicates      {copies:,} in {with_count(len(found.groups), 'group')} "
        f"(distance at most {found.distance:.2g}), {identical:,} of identical bytes"
    )
    yield f"  across splits        {with_count(len(leaks), 'group')} (split by {found.split_by})"
    for group in leaks[:_SHOWN]:
        uris = images.table["uri"].take(pa.array(group.rows[:2])).to_pylist()
        yield f"    {', '.join(group.splits)}: " + "  ".join(printable(uri.rpartition("/")[2]) for uri in uris)
    issues = found.judgement.issues
    if issues is None:
        yield f"  labels               {found.judgement.why_not}"
    else:
        yield f"  likely wrong labels  {len(issues.rows):,}"
    if drift is not None:
        yield f"  drift                {drift_text(drift.figures())}"
    pictures = with_count(thumbnails, "thumbnail")
    yield f"  {pictures}, {size_text(size)}, {seconds:.1f} s; beside it {', '.join(files[1:])}"
    yield f"Open {join(output, files[0])}"


def hit_lines(hits: pa.Table) -> Iterator[str]:
    """Yields hits as a table, the nearest first; that there are none as a sentence."""
    if not hits.num_rows:
        yield "No image was found."
        return
    names = [name for name in ("label", "split") if hits[name].null_count < len(hits)]
    widths = (-11, *(-max(len(name), *(len(text) for text in _texts(hits, name))) - 2 for name in names), 0)
    yield padded_line(("distance", *names, "uri"), widths)
    columns = [_texts(hits, name) for name in names]
    for at, (distance, uri) in enumerate(zip(hits["distance"].to_pylist(), hits["uri"].to_pylist(), strict=True)):
        yield padded_line((f"{distance:.5f}", *(column[at] for column in columns), printable(uri)), widths)


def _texts(hits: pa.Table, name: str) -> list[str]:
    return [printable(text or "") for text in hits[name].to_pylist()]
