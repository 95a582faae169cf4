"""The options of inputs: where images are, and how they are read and decoded."""

import argparse
from typing import Any, Final

from pipelines.options.types import (
    add_flag,
    allowed_sources,
    image_formats,
    lower_words,
    positive,
    text_encoding,
    words,
)
from schemas.storage import FETCH_SECONDS, Reach, Storage, canonical_uri, is_local
from schemas.uris import AllowedSources, server_uri
from transforms.decoding import DECODE_MEMORY, DECODE_TIMEOUT, FORMATS, MAX_BYTES, MAX_PIXELS, MAX_SIDE, DecodingLimits
from transforms.manifests import URI, ManifestOptions
from transforms.sources import EXTENSIONS, FollowLinks

_NONE: Final = ("none",)


class _AddInputs(argparse.Action):
    """Adds inputs that stand without an option to those of `--input`."""

    def __call__(self, _: object, namespace: argparse.Namespace, values: Any, __: object = None) -> None:
        if values:
            namespace.input = [*(namespace.input or ()), *values]


def add_inputs(parser: argparse.ArgumentParser) -> None:
    """Lets inputs stand without an option, as in `extract photos/*.jpg`."""
    parser.add_argument("input", nargs="*", action=_AddInputs, metavar="INPUT", help="inputs, as --input names them")


def add_source_options(
    parser: argparse.ArgumentParser,
    without_input: str = "sample pictures, drawn into ./sample-pictures",
    *,
    names_labels: bool = True,
) -> None:
    """Adds the options that say which images there are.

    Args:
        parser: The command's parser.
        without_input: What is taken where no --input is given, for the help.
        names_labels: Whether --label_column names the labels of a manifest, and not of the command's features.
    """
    group = parser.add_argument_group("images")
    group.add_argument(
        "--input",
        action="append",
        metavar="URI",
        help="a folder (recursive), a glob, an image, an archive of images (.zip, .tar, .tar.gz, .tgz; also "
        "shard-{000..099}.tar, or a folder of them), a .parquet or TFRecord file with images in it, a .txt of URIs, or "
        "a .csv, .tsv, .jsonl or .parquet manifest, as it is, as .gz or .zst or as a folder of part files, with a "
        "column `uri` and, if you like, `version`, `label`, `split` and further columns, which are carried along; "
        "local or any fsspec URL; may be given several times "
        f"(default: {without_input})",
    )
    _add_folder_options(group)
    group.add_argument(
        "--manifest_versions",
        choices=("stat", "none"),
        default="stat",
        help="images of a manifest without a column `version`: stat looks each one up, so that changed images are "
        "noticed; none trusts that the image under a URI never changes (default: stat)",
    )
    group.add_argument(
        "--storage",
        choices=tuple(Storage),
        default=Storage.OBSTORE,
        help="what reads inputs and images in buckets where both can: obstore, or fsspec's file system of the cloud "
        f"(default: {Storage.OBSTORE})",
    )
    _add_fetching_options(parser)
    _add_manifest_options(parser, names_labels=names_labels)


def _add_folder_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--extensions",
        type=lower_words,
        default=EXTENSIONS,
        metavar="A,B",
        help=f"extensions of a folder's images (default: {','.join(EXTENSIONS)})",
    )
    add_flag(
        group,
        "--include_hidden",
        "list hidden files and folders too (`.x`), and those of file managers (`@eaDir`, `__MACOSX`, `Thumbs.db`)",
        default=False,
    )
    group.add_argument(
        "--exclude",
        action="append",
        metavar="GLOB",
        help="leave out files and folders whose name matches, or with a / in the glob whose path under the input does; "
        "may be given several times",
    )
    group.add_argument(
        "--follow_links",
        choices=tuple(FollowLinks),
        default=FollowLinks.BESIDE,
        help="where the links in a folder may lead: inside the folder, beside it too, in the folder above it, or "
        "anywhere on this machine; other links are rows in `failures` (default: beside)",
    )
    group.add_argument(
        "--labels_from",
        choices=("parent",),
        help="parent: images without a label take the name of their folder, and the folder above it as the split if it "
        "is named train, validation or test (or training, val, dev, eval and the like); images directly in such a "
        "folder have its split and no label",
    )


def _add_fetching_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("fetching")
    group.add_argument(
        "--allowed_sources",
        type=allowed_sources,
        default=(),
        metavar="A,B",
        help="where manifests may point besides their own storage, that of the inputs and public addresses of the web "
        "(from this machine's disk, also files and buckets): beginnings of URIs (s3://bucket/, file:///data/, "
        "http://10.0.0.5:8000/, https://*.example.com/), networks (10.0.0.0/8), protocols (memory:, simplecache:), any "
        "for everything, only for nothing besides; other rows are in `failures` as not_allowed (default: none)",
    )
    group.add_argument(
        "--fetch_timeout",
        type=positive,
        default=FETCH_SECONDS,
        metavar="SECONDS",
        help="time that one image may take to be fetched, or looked up, with everything that is tried again "
        f"(default: {FETCH_SECONDS})",
    )


def fetching_reach(given: argparse.Namespace) -> Reach:
    """Returns which servers may be asked for images, where manifests may point, and how long an image may take."""
    places = (canonical_uri(uri) if is_local(uri) else server_uri(uri) for uri in given.input or ())
    return Reach(AllowedSources(tuple(dict.fromkeys(places)), given.allowed_sources), given.fetch_timeout)


def _add_manifest_options(parser: argparse.ArgumentParser, *, names_labels: bool) -> None:
    group = parser.add_argument_group("manifests")
    group.add_argument("--uri_column", default=URI, metavar="NAME", help=f"the column of the URIs (default: {URI})")
    if names_labels:
        group.add_argument(
            "--label_column",
            dest="manifest_label_column",
            metavar="NAME",
            help="the column of the labels (default: label, where there is one)",
        )
    group.add_argument(
        "--split_column", metavar="NAME", help="the column of the splits (default: split, where there is one)"
    )
    group.add_argument(
        "--uri_prefix", default="", metavar="TEXT", help="is put before each URI, as in --uri_prefix=photos/"
    )
    group.add_argument(
        "--uri_suffix", default="", metavar="TEXT", help="is put behind each URI, as in --uri_suffix=.jpg"
    )
    group.add_argument(
        "--carry",
        type=words,
        metavar="A,B|none",
        help="the further columns that are carried along into `features` (default: all of them)",
    )
    group.add_argument(
        "--encoding",
        type=text_encoding,
        metavar="NAME",
        help="the encoding of texts, such as latin-1 (default: by their byte order mark, else UTF-8)",
    )


def manifest_options(given: argparse.Namespace) -> ManifestOptions:
    """Returns how manifests are read."""
    return ManifestOptions(
        uri_column=given.uri_column,
        label_column=getattr(given, "manifest_label_column", None),
        split_column=given.split_column,
        uri_prefix=given.uri_prefix,
        uri_suffix=given.uri_suffix,
        carry=() if given.carry == _NONE else given.carry,
        encoding=given.encoding,
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
        "--max_side",
        type=positive,
        default=MAX_SIDE,
        metavar="N",
        help=f"most pixels of a picture's side, checked before it is decoded (default: {MAX_SIDE})",
    )
    group.add_argument(
        "--decode_timeout",
        type=positive,
        default=DECODE_TIMEOUT,
        metavar="SECONDS",
        help=f"processor time that decoding a picture may take, in a decoder process (default: {DECODE_TIMEOUT})",
    )
    group.add_argument(
        "--decode_memory",
        type=positive,
        default=DECODE_MEMORY,
        metavar="BYTES",
        help=f"memory that decoding a picture may take, in a decoder process (default: {DECODE_MEMORY})",
    )
    group.add_argument(
        "--max_bytes",
        type=positive,
        default=MAX_BYTES,
        metavar="N",
        help=f"most bytes of a file; no more of it is read (default: {MAX_BYTES})",
    )


def decoding_limits(given: argparse.Namespace) -> DecodingLimits:
    """Returns which files are taken, and what decoding one may cost."""
    return DecodingLimits(given.formats, given.max_pixels, given.max_side, given.decode_timeout, given.decode_memory)
