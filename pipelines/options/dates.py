"""The options of dates and backfills."""

import argparse

from pipelines.options.types import date, positive


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
