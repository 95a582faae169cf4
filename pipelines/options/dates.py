"""The options of dates and backfills."""

import argparse

from pipelines.options.types import date, image_count, positive, ratio


def add_date_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that say which dates are looked at."""
    group = parser.add_argument_group("dates ({ds} in an --input stands for one; {ds:%Y/%m/%d} writes it otherwise)")
    group.add_argument("--start", type=date, metavar="YYYY-MM-DD", help="the first date (default: --end)")
    group.add_argument(
        "--end", type=date, metavar="YYYY-MM-DD", help="the last date, which is included (default: yesterday in UTC)"
    )


def add_backfill_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that say which dates are done again."""
    group = parser.add_argument_group("dates that are complete, and are skipped unless")
    group.add_argument(
        "--lookback",
        type=positive,
        default=0,
        metavar="N",
        help="look also at the N dates before --end, those before --start included, and list them again for images "
        "that came late, although they are complete (default: 0)",
    )
    group.add_argument(
        "--refresh",
        action="store_true",
        help="compute every image of the dates again, failed ones and copies too, and supersede the rows that are "
        "there; dates whose last refresh is longest ago come first, so that a refresh that was stopped goes on",
    )


def add_expectation_option(parser: argparse.ArgumentParser) -> None:
    """Adds the option that says how many images a date should have."""
    parser.add_argument_group("freshness").add_argument(
        "--expect_images",
        type=image_count,
        metavar="N|N%%",
        help="exit with 4 if one of the dates from --start to --end has fewer images in its input: fewer than N, or "
        "than N percent of the median of the last 14 nights that had any (default: any number will do)",
    )


def add_nightly_drift_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that compare the images of a date with those before it."""
    group = parser.add_argument_group("drift")
    group.add_argument(
        "--check_drift",
        action="store_true",
        help="after the dates are done, compare the images of each one that got some with those of the dates before: "
        "a row in the table `drift`, shown by pipelines.inspect --runs",
    )
    add_max_drift(group)


def add_max_drift(group: "argparse._ArgumentGroup") -> None:
    """Adds the option that says how far images may drift."""
    group.add_argument(
        "--max_drift",
        type=ratio,
        metavar="X",
        help="exit with 1 if a linear classifier tells later images from those before by an AUC whose interval is "
        "above this (0.5: any difference that is more than chance)",
    )
