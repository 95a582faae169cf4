"""The options of the commands, declared once: `--help`, the reference and every check flow from here.

Beam's own options pass through untouched; what neither Beam nor a command knows is refused.
"""

import argparse

from pipelines.options.augmentation import add_augmentation_options
from pipelines.options.sources import add_decoding_options
from pipelines.options.spec import add_spec_options
from pipelines.options.types import (
    add_flag,
    age,
    date,
    duration,
    not_negative,
    positive,
    ratio,
    run_name,
)
from transforms.conv_bases import AUTO, EngineName
from transforms.extraction import Reuse


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
    _add_work_options(group)
    add_failure_ratio(group)
    group.add_argument(
        "--retry_failures",
        choices=("transient", "all", "none"),
        default="transient",
        help="which known failures are tried again; permanent ones only change with the image, or with the "
        "options that say which files are taken (default: transient)",
    )
    add_flag(
        group,
        "--update_labels",
        "bring label, split and carried columns of images that are in the store already up to date with the input, "
        "without reading a picture; what the input does not say stays (default: true)",
        default=True,
    )
    group.add_argument(
        "--time_budget",
        type=duration,
        metavar="2h",
        help="begin no shard after this time (90s, 30m, 2h); a run with images left is not committed, and the next one "
        "goes on from what it computed (default: no limit)",
    )
    add_worker_start_option(group)
    add_flag(group, "--dry_run", "say what would be done, and stop", default=False)
    group.add_argument("--summary", metavar="FILE", help="write the closing figures there as JSON")
    add_metrics_option(group)


def add_worker_start_option(group: "argparse._ArgumentGroup") -> None:
    """Adds the deadline for workers elsewhere."""
    group.add_argument(
        "--worker_start_timeout",
        type=duration,
        default=duration("30m"),
        metavar="30m",
        help="cancel a job whose workers are elsewhere if none has started after this time (default: 30m)",
    )


def add_metrics_option(group: "argparse._ArgumentGroup") -> None:
    """Adds the file for the closing figures of a command."""
    group.add_argument(
        "--metrics_file",
        metavar="FILE",
        help="write the closing figures there for Prometheus's textfile collector (its name ends in .prom); the "
        "variables OTEL_EXPORTER_OTLP_… send them to an OpenTelemetry collector",
    )


def _add_work_options(group: "argparse._ArgumentGroup") -> None:
    """Adds the options of how work is divided among processes and threads."""
    group.add_argument(
        "--shard_size", type=positive, default=1024, metavar="N", help="images a unit of work (default: 1024)"
    )
    group.add_argument(
        "--batch_size",
        type=positive,
        metavar="N",
        help="images a call of the base (default: 2 for openvino, whose streams are fastest with small batches; 256 "
        "for keras where this machine has a GPU, else 32)",
    )
    group.add_argument(
        "--threads",
        type=positive,
        metavar="N",
        help="threads of a worker process that run the base, and as many processes that decode (default: its cores, "
        "shared out among the processes of --direct_running_mode=multi_processing)",
    )
    group.add_argument(
        "--streams",
        type=positive,
        metavar="N",
        help="batches that openvino runs at once, each on its share of the threads; pipelines.measure finds out how "
        "many are fastest (default: as many as --threads)",
    )
    add_flag(
        group,
        "--tune",
        "take the batch size and the streams that are fastest on this machine, where they are not given: as "
        "pipelines.measure has found and kept with the store, or else measured first, in some 15 s (default: false)",
        default=False,
    )
    group.add_argument(
        "--decode_processes",
        type=not_negative,
        metavar="N",
        help="processes of a worker process that decode pictures; 0 decodes in its threads, which happens where none "
        "can start (default: as many as --threads; 1 where the runner's workers share a machine in a number that is "
        "not known, as those of Flink and Spark)",
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
        "--run_id",
        type=run_name,
        metavar="NAME",
        help="name of the run; a run commits once (default: the time and a random suffix)",
    )
    group.add_argument(
        "--ds", type=date, metavar="YYYY-MM-DD", help="partition date of the rows (default: today in UTC)"
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
        help="the last N runs as a table, the newest first (default: 10)",
    )
    group.add_argument(
        "--coverage",
        action="store_true",
        help="compare the images of --input with the store; what has no features is listed with the reason: never "
        "seen, another version, or the code of its failure; what was taken down is not missing",
    )
    group.add_argument(
        "--failures",
        action="store_true",
        help="each failure of an image, also those of runs that failed and committed nothing: when, code, URI, message",
    )
    group.add_argument("--run", metavar="RUN", help="of --failures, those of this run only")
    group.add_argument("--html", metavar="FILE", help="write what --runs shows there as a page, with bars")
    group.add_argument(
        "--freshness",
        type=age,
        metavar="26h",
        help="say when the last images came; the exit code is 4 if that is longer ago than this (90m, 26h, 2d)",
    )
    group.add_argument(
        "--limit", type=positive, default=20, metavar="N", help="the most images that --coverage lists (default: 20)"
    )


def add_engine_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that say how features are computed, and do not change what they are."""
    group = parser.add_argument_group("how features are computed")
    add_engine(group)
    group.add_argument(
        "--reuse",
        choices=tuple(Reuse),
        default=Reuse.STORE,
        help="images with the same bytes are computed once: store looks among all features of the store, run only "
        "among those of the same run and process, none computes every image (default: store)",
    )


def add_engine(group: "argparse._ArgumentGroup") -> None:
    """Adds `--engine`."""
    group.add_argument(
        "--engine",
        choices=(AUTO, *EngineName),
        default=AUTO,
        help="openvino runs the base on the CPU; keras on Keras's own backend, which KERAS_BACKEND names and which may "
        "use a GPU; auto is keras where this machine has an NVIDIA GPU (default: auto)",
    )
