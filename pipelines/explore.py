"""python -m pipelines.explore: a page that shows a store's images: a map, near-duplicates, leaks, likely wrong labels.

    python -m pipelines.explore feature-store
    python -m pipelines.explore feature-store --output=cats/ --where="label = 'cats'" --layer=conv_pw_13_relu
    python -m pipelines.explore feature-store --compare ds=2026-11-01..2026-11-07 ds=2026-11-08 --max_drift=0.6
    python -m pipelines.explore gs://bucket/store --output=gs://bucket/explore --thumbnails=0

It reads one version of the table, and writes index.html with what belongs to it. Near-duplicates and likely wrong
labels are Parquet files beside it, to be joined to the table by uri.
Exit codes: 0 done; 1 the run failed, or --max_drift is exceeded; 2 the command cannot start as it was given.
"""

import argparse
import time
from collections.abc import Sequence

from pipelines.console import exploration_lines
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
from schemas.errors import UsageError, first_line
from schemas.storage import check_writable


def parser() -> argparse.ArgumentParser:
    """Returns the command's parser."""
    command = Parser("pipelines.explore", __doc__.partition("\n")[2].strip())
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
    """Runs the command and returns its exit code.

    Raises:
        ConvbaseError: If it cannot start, or fails.
    """
    started = time.perf_counter()
    given = parser().parse_args(list(arguments))
    if given.max_drift is not None and given.compare is None:
        raise UsageError("--max_drift judges what --compare BEFORE LATER finds; name both sides.")
    try:
        check_writable(given.output)
    except OSError as error:
        raise UsageError(f"The folder {given.output} cannot be written: {first_line(error)}.") from error
    with shown_steps() as say:
        written = explored(given, say)
    seconds = time.perf_counter() - started
    for line in exploration_lines(
        written.found,
        written.drift,
        given.output,
        files=written.files,
        thumbnails=written.thumbnails,
        size=written.size,
        seconds=seconds,
    ):
        print(line)
    return 1 if written.drifts_too_far(given.max_drift) else 0


if __name__ == "__main__":
    run_main(main)
