"""python -m pipelines.explore: a page that shows a store's images: a map, near-duplicates, leaks, likely wrong labels.

    python -m pipelines.explore feature-store
    python -m pipelines.explore feature-store --output=cats/ --where="label = 'cats'" --layer=conv_pw_13_relu
    python -m pipelines.explore feature-store --compare ds=2026-11-01..2026-11-07 ds=2026-11-08 --max_drift=0.6
    python -m pipelines.explore gs://bucket/store --output=gs://bucket/explore --thumbnails=0

It reads one version of the table, and writes index.html with what belongs to it. Near-duplicates and likely wrong
labels are Parquet files beside it, to be joined to the table by uri.
Exit codes: 0 done; 1 the run failed, or --max_drift is exceeded; 2 the command cannot start as it was given.
"""

import time
from collections.abc import Sequence
from typing import Final

from pipelines.console import exploration_lines
from pipelines.functions import ExplorationResult, make_callable, printed
from pipelines.jobs import explored
from pipelines.options import (
    Parser,
    add_decoding_options,
    add_drift_options,
    add_exploration_options,
    add_label_options,
    add_table_options,
    run_main,
)
from pipelines.runners import shown_steps
from schemas.errors import UsageError
from schemas.storage import check_folder, join
from transforms.export import PAGE, check_output_folder

_FIRST: Final = (
    "store", "output", "layer", "where", "sample", "duplicate_distance", "thumbnails", "compare", "max_drift", "labels",
)  # fmt: skip


def parser() -> Parser:
    """Returns the command's parser."""
    command = Parser.of_command("pipelines.explore", __doc__, first=_FIRST)
    add_table_options(command)
    command.add_argument(
        "--output", metavar="URI", default="explore", help="the folder of the page; it is made (default: ./explore)"
    )
    add_exploration_options(command)
    add_drift_options(command)
    add_label_options(command)
    add_decoding_options(command)
    return command


def main(arguments: Sequence[str]) -> int:
    """Runs the command, prints what it has done, and returns its exit code.

    Raises:
        ConvbaseError: If it cannot start, or fails.
    """
    return printed(run(arguments))


def run(arguments: Sequence[str]) -> ExplorationResult:
    """Runs the command and returns what it has done.

    Raises:
        ConvbaseError: If it cannot start, or fails.
    """
    started = time.perf_counter()
    given = parser().begin(arguments)
    if given.max_drift is not None and given.compare is None:
        raise UsageError("--max_drift judges what --compare BEFORE LATER finds; name both sides.")
    check_folder(f"The folder {given.output}", given.output)
    check_output_folder(given.output, PAGE)
    with shown_steps() as say:
        written = explored(given, say)
    seconds = time.perf_counter() - started
    found = written.found
    lines = exploration_lines(
        found,
        written.drift,
        given.output,
        files=written.files,
        thumbnails=written.thumbnails,
        size=written.size,
        seconds=seconds,
    )
    return ExplorationResult(
        text="\n".join(lines),
        exit_code=1 if written.drifts_too_far(given.max_drift) else 0,
        page=join(given.output, written.files[0]),
        files=[join(given.output, name) for name in written.files],
        counts={
            "images": len(found.images),
            "groups of near-duplicates": len(found.groups),
            "groups across splits": len(found.leaks),
            "likely wrong labels": len(found.judgement.issues.rows) if found.judgement.issues is not None else 0,
        },
        drift=written.drift,
    )


if __name__ == "__main__":
    run_main(main)
else:
    make_callable(__name__)
