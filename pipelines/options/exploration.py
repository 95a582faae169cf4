"""The options of the commands that look at a store's images: which of them, what is found, where it goes."""

import argparse
from typing import Final

from pipelines.options.dates import add_max_drift
from pipelines.options.types import distance, not_negative, positive
from transforms.exploration import Projection

_THUMBNAILS: Final = 20_000


def add_layer_options(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Adds the store and the option that says which of its features are meant; returns their group."""
    group = parser.add_argument_group("the store")
    group.add_argument("store", metavar="STORE", help="the feature store")
    group.add_argument("--layer", metavar="NAME", help="the feature column (default: the only one)")
    return group


def add_table_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that say which images and which features of a store are looked at."""
    group = add_layer_options(parser)
    group.add_argument(
        "--table_version", type=int, metavar="N", help="the version of its table `features` (default: the newest)"
    )
    group.add_argument(
        "--where",
        metavar="CONDITION",
        help="only images for which this holds: comparisons of columns with values, IN, LIKE, IS NULL, joined by AND, "
        "OR, NOT and parentheses, as in \"split = 'train' AND width >= 640\"",
    )


def add_exact_option(group: argparse._ArgumentGroup) -> None:
    """Adds the option that compares everything."""
    group.add_argument(
        "--exact", action="store_true", help="compare with all images, also where that could be spared by an index"
    )


def add_exploration_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that say what is found, and how."""
    group = parser.add_argument_group("what is found")
    group.add_argument(
        "--sample", type=positive, metavar="N", help="at most N images, the same ones each time (default: all of them)"
    )
    group.add_argument(
        "--duplicate_distance",
        type=distance,
        metavar="X",
        help="cosine distance up to which images are near-duplicates (default: chosen by the distances of images from "
        "their nearest neighbours)",
    )
    add_exact_option(group)
    group.add_argument(
        "--projection",
        choices=tuple(Projection),
        default=Projection.AUTO,
        help="how the map is drawn: auto takes tsne where openTSNE is installed and there are enough images, and at "
        "most 200,000 of them, else pca (default: auto)",
    )
    group.add_argument(
        "--thumbnails",
        type=not_negative,
        default=_THUMBNAILS,
        metavar="N",
        help=f"most pictures that are read for the page; with 0 none is (default: {_THUMBNAILS})",
    )


def add_drift_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that compare two sets of images."""
    group = parser.add_argument_group("drift")
    group.add_argument(
        "--compare",
        nargs=2,
        metavar=("BEFORE", "LATER"),
        help="say how later images differ from those before, each as COLUMN=VALUE, COLUMN=FROM..TO, a condition as "
        "in --where, table_version=N, or another store (STORE, or STORE@N for a version of it); of a snapshot, what "
        "the one before has already is not later; drift.json is written, too",
    )
    add_max_drift(group)


def add_search_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that say what is searched for, and where the hits go."""
    group = parser.add_argument_group("the search")
    asked = group.add_mutually_exclusive_group(required=True)
    asked.add_argument(
        "--image",
        metavar="FILE|URI|-",
        help="a picture, which goes through the conv base of the store; - reads one from standard input",
    )
    asked.add_argument("--uri", metavar="URI", help="an image of the table")
    group.add_argument("--k", type=positive, default=20, metavar="N", help="images to find (default: 20)")
    add_exact_option(group)
    group.add_argument(
        "--output",
        metavar="FILE",
        help="write them there, too: as a page with pictures (.html), or a table (.parquet, .csv)",
    )
