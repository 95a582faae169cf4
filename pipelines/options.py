"""The options of the commands, declared once: `--help`, the reference and every check flow from here.

Beam's own options pass through untouched; what neither Beam nor a command knows is refused.
"""

import argparse
from typing import Any

from pipelines.augmentation_options import add_augmentation_options
from pipelines.option_types import (
    date,
    duration,
    lower_words,
    name_and_value,
    positive,
    ratio,
    run_name,
    shape,
    true_or_false,
    upper_words,
    words,
)
from schemas.spec import DECODINGS, EXIF_ORIENTATIONS, INTERPOLATIONS, POOLINGS, PRECISIONS
from transforms.decoding import FORMATS, MAX_BYTES, MAX_PIXELS
from transforms.engines import AUTO, EngineName
from transforms.extraction import Reuse
from transforms.sources import EXTENSIONS


def add_flag(
    options: "argparse.ArgumentParser | argparse._ArgumentGroup", name: str, meaning: str, default: bool | None = None
) -> None:
    """Adds an option that is given alone, or as `name=true` or `name=false`, the only form that a template knows."""
    options.add_argument(
        name, nargs="?", const=True, default=default, type=true_or_false, metavar="true|false", help=meaning
    )


def add_failure_ratio(
    options: "argparse.ArgumentParser | argparse._ArgumentGroup", meaning: str = "with which the run is committed"
) -> None:
    """Adds `--max_failure_ratio`, and in its help what happens at that share."""
    options.add_argument(
        "--max_failure_ratio",
        type=ratio,
        default=0.1,
        metavar="R",
        help=f"greatest share of bad images, 0 to 1, {meaning} (default: 0.1)",
    )


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
        "is named train, validation or test",
    )
    group.add_argument(
        "--manifest_versions",
        choices=("stat", "none"),
        default="stat",
        help="images of a manifest without a column `version`: stat looks each one up, so that changed images are "
        "noticed; none trusts that the image under a URI never changes (default: stat)",
    )


def add_spec_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the feature spec. None of them has a default here: what is not given, the store decides."""
    group = parser.add_argument_group("features (where the store exists, what is not given is read from it)")
    group.add_argument("--conv_base", metavar="NAME", help="any builder of keras.applications (default: VGG16)")
    group.add_argument(
        "--conv_base_arg",
        action="append",
        metavar="NAME=VALUE",
        type=name_and_value,
        help="a further argument of the builder, such as alpha=0.25; may be given several times",
    )
    group.add_argument(
        "--weights", metavar="WEIGHTS", help="none (random), imagenet, or the URI of a weights file (default: imagenet)"
    )
    add_flag(
        group,
        "--include_top",
        "keep the dense classifier, so that its layers can be asked for (default: false)",
    )
    group.add_argument(
        "--input_shape",
        type=shape,
        metavar="H,W,3",
        help="the pixels that the base is given (default: those that it was trained with)",
    )
    group.add_argument(
        "--layers",
        type=words,
        metavar="A,B",
        help="layers whose outputs are the features, one column each (default: the last); "
        "python -m pipelines.inspect --conv_base=NAME lists them",
    )
    group.add_argument(
        "--pooling",
        choices=POOLINGS,
        help="what becomes of a feature map: avg or max over the map, or none to keep it whole (default: avg)",
    )
    group.add_argument("--interpolation", choices=INTERPOLATIONS, help="how pictures are resized (default: bilinear)")
    group.add_argument(
        "--exif_orientation",
        choices=EXIF_ORIENTATIONS,
        help="apply turns pictures upright; ignore is what Keras does (default: apply)",
    )
    group.add_argument(
        "--precision",
        choices=PRECISIONS,
        help="arithmetic of the base; bfloat16 is about twice as fast on CPUs that have it, and moves the features of "
        "a real MobileNet by 0.8 percent and a probe's accuracy by 0.1 point (default: float32)",
    )
    group.add_argument(
        "--decode",
        choices=DECODINGS,
        help="exact decodes every pixel, as Keras does; scaled has JPEGs of four times the input shape or more scaled "
        "down while they are decoded: a picture of 12 megapixels takes a quarter of the time, and its features have a "
        "cosine of .9999 with the exact ones (default: exact)",
    )


def add_decoding_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that say which image files are taken."""
    group = parser.add_argument_group("which files are taken; the others are rows in `failures`")
    group.add_argument(
        "--formats",
        type=upper_words,
        default=FORMATS,
        metavar="A,B",
        help=f"formats by Pillow's names (default: {','.join(FORMATS)})",
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
        help=f"most bytes of a file, checked before it is read (default: {MAX_BYTES})",
    )


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of a run."""
    group = parser.add_argument_group("the run")
    group.add_argument(
        "--output", metavar="URI", help="the store: a local folder or s3://, gs://, abfs:// (default: ./feature-store)"
    )
    add_flag(
        group,
        "--single_writer",
        "promise, for a store that is to be made on storage that lets a file be created twice, that no two commands "
        "ever write to it at once",
        default=False,
    )
    group.add_argument(
        "--shard_size", type=positive, default=1024, metavar="N", help="images a unit of work (default: 1024)"
    )
    group.add_argument(
        "--batch_size",
        type=positive,
        metavar="N",
        help="images a call of the base (default: 2 for openvino, whose streams are fastest with small batches, 32 for "
        "keras)",
    )
    group.add_argument(
        "--threads",
        type=positive,
        metavar="N",
        help="threads of a worker process that run the base, and as many that decode (default: its cores, shared out "
        "among the processes of --direct_running_mode=multi_processing)",
    )
    add_failure_ratio(group)
    group.add_argument(
        "--retry_failures",
        choices=("transient", "all", "none"),
        default="transient",
        help="which known failures are tried again; permanent ones only change with the image, or with --formats, "
        "--max_pixels and --max_bytes (default: transient)",
    )
    group.add_argument(
        "--time_budget",
        type=duration,
        metavar="2h",
        help="begin no shard after this time (90s, 30m, 2h); a run with images left is not committed, and the next one "
        "goes on from what it computed (default: no limit)",
    )
    add_flag(group, "--dry_run", "say what would be done, and stop", default=False)
    group.add_argument("--summary", metavar="FILE", help="write the closing figures there as JSON")
    group.add_argument(
        "--log_level",
        choices=("debug", "info", "warning"),
        default="warning",
        help="what is logged on standard error; info shows each load of a conv base, debug tracebacks "
        "(default: warning)",
    )


def add_extraction_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that every command has which extracts, besides those of its sources and of its run's name."""
    add_spec_options(parser)
    add_augmentation_options(parser)
    add_decoding_options(parser)
    add_engine_options(parser)
    add_run_options(parser)


def add_run_name_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that name a single run and its partition."""
    group = parser.add_argument_group("the run's name")
    group.add_argument(
        "--run_id", type=run_name, metavar="NAME", help="name of the run; a run commits once (default: time and chance)"
    )
    group.add_argument(
        "--ds", type=date, metavar="YYYY-MM-DD", help="partition date of the rows (default: today in UTC)"
    )


def add_date_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that say which dates are looked at."""
    group = parser.add_argument_group("dates ({ds} in an --input stands for one; {ds:%Y/%m/%d} writes it otherwise)")
    group.add_argument("--start", type=date, metavar="YYYY-MM-DD", help="the first date (default: --end)")
    group.add_argument(
        "--end", type=date, metavar="YYYY-MM-DD", help="the last date, which is included (default: yesterday in UTC)"
    )


def add_look_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that say what of a store is looked at."""
    group = parser.add_argument_group("a store (an overview, unless one of these is given)")
    group.add_argument(
        "--runs",
        nargs="?",
        const=10,
        type=positive,
        metavar="N",
        help="the last N runs as a table, the newest first (10 unless told)",
    )
    group.add_argument(
        "--coverage",
        action="store_true",
        help="compare the images of --input with the store; what has no features is listed with the reason: never "
        "seen, another version, or the code of its failure; what was taken down is not missing",
    )
    group.add_argument(
        "--limit", type=positive, default=20, metavar="N", help="the most images that --coverage lists (default: 20)"
    )


def add_backfill_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that say which dates are done anew."""
    group = parser.add_argument_group("dates that are complete, and are skipped unless")
    group.add_argument(
        "--lookback",
        type=positive,
        default=0,
        metavar="N",
        help="look also at the N dates before --end, those before --start included, and list them anew for images that "
        "came late, although they are complete (default: 0)",
    )
    group.add_argument(
        "--refresh",
        action="store_true",
        help="compute every image of the dates again, failed ones and copies too, and supersede the rows that are "
        "there; dates whose last refresh is longest ago come first, so that a refresh that was stopped goes on",
    )


def add_engine_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that say how features are computed, and do not change what they are."""
    group = parser.add_argument_group("how features are computed")
    group.add_argument(
        "--engine",
        choices=(AUTO, *EngineName),
        default=AUTO,
        help="openvino runs the base on the CPU; keras on Keras's own backend, which KERAS_BACKEND names and which may "
        "use a GPU; auto is keras where this machine has an NVIDIA GPU (default: auto)",
    )
    group.add_argument(
        "--reuse",
        choices=tuple(Reuse),
        default=Reuse.STORE,
        help="images with the same bytes are computed once: store looks among all features of the store, run only "
        "among those of the same run and process, none computes every image (default: store)",
    )


def spec_options(given: argparse.Namespace) -> dict[str, Any]:
    """Returns the fields of the feature spec that were given, by name."""
    fields = {
        name: getattr(given, name)
        for name in (
            "conv_base",
            "weights",
            "include_top",
            "input_shape",
            "layers",
            "pooling",
            "interpolation",
            "exif_orientation",
            "decode",
            "precision",
        )
    }
    fields["conv_base_args"] = dict(given.conv_base_arg) if given.conv_base_arg else None
    return {name: value for name, value in fields.items() if value is not None}
