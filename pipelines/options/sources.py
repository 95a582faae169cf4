"""The options of inputs: where images are, and how they are read and decoded."""

import argparse

from pipelines.options.types import image_formats, lower_words, positive
from transforms.images import FORMATS, MAX_BYTES, MAX_PIXELS
from transforms.sources import EXTENSIONS


def add_source_options(
    parser: argparse.ArgumentParser, without_input: str = "sample pictures, drawn into ./sample-pictures"
) -> None:
    """Adds the options that say which images there are, and in its help what is taken where no --input is given."""
    group = parser.add_argument_group("images")
    group.add_argument(
        "--input",
        action="append",
        metavar="URI",
        help="a folder (recursive), a glob, an image, a .txt of URIs, or a .csv or .parquet manifest with a column "
        "`uri` and, if you like, `version`, `label`, `split` and further columns, which are carried along; local or "
        "any fsspec URL; may be given several times "
        f"(default: {without_input})",
    )
    group.add_argument(
        "--extensions",
        type=lower_words,
        default=EXTENSIONS,
        metavar="A,B",
        help=f"extensions of a folder's images (default: {','.join(EXTENSIONS)})",
    )
    group.add_argument(
        "--labels_from",
        choices=("parent",),
        help="parent: images without a label take the name of their folder, and the folder above it as the split if it "
        "is named train, validation or test (or training, val, dev, eval and the like); images directly in such a "
        "folder have its split and no label",
    )
    group.add_argument(
        "--manifest_versions",
        choices=("stat", "none"),
        default="stat",
        help="images of a manifest without a column `version`: stat looks each one up, so that changed images are "
        "noticed; none trusts that the image under a URI never changes (default: stat)",
    )


def add_decoding_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that say which image files are taken."""
    group = parser.add_argument_group("which files are taken; the others are rows in `failures`")
    group.add_argument(
        "--formats",
        type=image_formats,
        default=FORMATS,
        metavar="A,B",
        help=f"formats by Pillow's names, or by the extensions of their files (default: {','.join(FORMATS)})",
    )
    group.add_argument(
        "--max_pixels",
        type=positive,
        default=MAX_PIXELS,
        metavar="N",
        help=f"most pixels of a picture, checked before it is decoded (default: {MAX_PIXELS})",
    )
    group.add_argument(
        "--max_bytes",
        type=positive,
        default=MAX_BYTES,
        metavar="N",
        help=f"most bytes of a file; no more of it is read (default: {MAX_BYTES})",
    )
