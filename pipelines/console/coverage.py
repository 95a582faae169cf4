"""What of an input is missing in a store, as text."""

import argparse
import collections

import pyarrow.compute as pc

from pipelines.console.padded_lines import padded_line
from pipelines.dates import asked_dates, check_templates, sources_of
from pipelines.jobs import listing_rules
from schemas.errors import RunFailed, UsageError, first_line
from schemas.store import FeatureStore
from transforms.planning import compare


def coverage_report(given: argparse.Namespace, store: FeatureStore) -> tuple[list[str], int]:
    """Compares the inputs that were given with a store.

    Args:
        given: The command's options: those of sources and dates, and `limit`.
        store: The store.

    Returns:
        A line for each of the first `limit` images that are missing, then the figures; and how many are missing.

    Raises:
        UsageError: If no input is given, or one is none.
        RunFailed: If an input cannot be listed.
    """
    if not given.input:
        raise UsageError("Say with --input what --coverage is to compare the store with.")
    dates = asked_dates(given)
    check_templates(given.input, dates)
    sources = [source for ds in dates for source in sources_of(given, ds)]
    lines: list[str] = []
    listed = missing = 0
    by_reason: collections.Counter[str] = collections.Counter()
    try:
        for part in compare(sources, listing_rules(given, sources), store):
            shown = part.missing.slice(0, given.limit - len(lines)).to_pylist()
            lines += [padded_line((row["why"], row["uri"]), (-26, 0)) for row in shown]
            listed, missing = listed + part.listed, missing + part.missing.num_rows
            for counted in pc.value_counts(part.missing["why"]).to_pylist():
                by_reason[counted["values"]] += counted["counts"]
    except OSError as error:
        raise RunFailed(f"The input cannot be listed: {first_line(error)}") from error
    if missing > len(lines):
        lines.append(f"… and {missing - len(lines):,} more (--limit).")
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in by_reason.most_common())
    lines.append(f"{missing:,} of {listed:,} images are missing{': ' if reasons else ''}{reasons}.")
    return lines, missing
