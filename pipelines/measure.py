"""python -m pipelines.measure: how fast this machine is with a conv base and your pictures, and what a million costs.

    python -m pipelines.measure store --price_per_hour=0.10
    python -m pipelines.measure --conv_base=ResNet50 --input=s3://bucket/photos/
    python -m pipelines.measure store --input=photos/ --seconds=120

The base is run alone, on random pixels, by batch size, streams and precision; some pictures of --input, or of the
store, are read from where they are and decoded. What is found is kept with the store, and dry runs tell times by it.
Exit codes: 0 done; 1 it failed; 2 the command cannot start as it was given.
"""

import argparse
import contextlib
import dataclasses
import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import pyarrow as pa

from pipelines.functions import MeasurementResult, arguments_of, make_callable, printed
from pipelines.jobs import asked_features, listing_rules
from pipelines.options import (
    Parser,
    add_decoding_options,
    add_engine,
    add_source_options,
    add_spec_options,
    decoding_limits,
    fetching_reach,
    manifest_options,
    number,
    positive,
    run_main,
    spec_options,
)
from pipelines.runners import shown_steps
from schemas.errors import RunFailed, UsageError, first_line
from schemas.images import refs_of_uris
from schemas.spec import BFLOAT16, FLOAT32, NO_WEIGHTS, FeatureSpec
from schemas.storage import PublishedBase, Storage, canonical_uri, check_folder, use_storage
from schemas.store import FeatureStore
from transforms.conv_bases import EngineName, cached_conv_base, choose_engine
from transforms.decoding import DecodingRules
from transforms.machine import (
    Agreement,
    Measured,
    SampledPictures,
    agreement_of,
    keep_measured,
    measure_bases,
    measured_base,
    measured_text,
    sample_pictures,
)
from transforms.runtime import temporary_folder
from transforms.sources import IgnoredFiles, find_sources, list_source

_FIRST: Final = ("store", "input", "conv_base", "weights", "input_shape", "engine", "price_per_hour", "seconds")
_PICTURES: Final = 48
# Of --seconds: a setting of the base, of which there are eight or so; and each of listing, reading, and both decodings.
_SHARE_OF_A_SETTING: Final = 0.07
_SHARE_OF_PICTURES: Final = 0.1
_LEAST_SECONDS_OF_PICTURES: Final = 2.0


class Subject(NamedTuple):
    """What is measured.

    Attributes:
        base: The published conv base.
        spec: The resolved spec of its features.
        store: The store that it is of; None for a base that is named.
    """

    base: PublishedBase
    spec: FeatureSpec
    store: FeatureStore | None


def parser() -> Parser:
    """Returns the command's parser."""
    command = Parser.of_command("pipelines.measure", __doc__, first=_FIRST)
    command.add_argument("store", nargs="?", help="the store whose conv base is measured, and with which it is kept")
    add_source_options(command, "images of the store; without a store none")
    add_decoding_options(command)
    add_spec_options(command)
    group = command.add_argument_group("the measurement")
    add_engine(group)
    group.add_argument(
        "--seconds",
        type=positive,
        default=40,
        metavar="N",
        help="how long it takes, about, besides loading the base again and again (default: 40)",
    )
    group.add_argument(
        "--pictures",
        type=positive,
        default=_PICTURES,
        metavar="N",
        help=f"the most pictures that are read and decoded (default: {_PICTURES})",
    )
    group.add_argument(
        "--price_per_hour",
        type=number,
        metavar="X",
        help="what this machine costs, in any currency",
    )
    return command


def main(arguments: Sequence[str]) -> int:
    """Runs the command, prints what it has found, and returns its exit code.

    Raises:
        ConvbaseError: If it cannot start, or fails.
    """
    return printed(run(arguments))


def run(arguments: Sequence[str]) -> MeasurementResult:
    """Runs the command and returns what it has found.

    Raises:
        ConvbaseError: If it cannot start, or fails.
    """
    given = parser().begin(arguments)
    if given.store is None and given.conv_base is None:
        raise UsageError("Name a store, or a conv base with --conv_base=NAME.")
    use_storage(Storage(given.storage))
    with shown_steps() as say, _subject(given) as subject:
        measured = _measured(given, subject, say)
    if subject.store is not None:
        try:
            keep_measured(subject.store.uri, measured)
        except OSError as error:
            raise RunFailed(f"What was measured cannot be kept in {subject.store.uri}: {first_line(error)}") from error
    return MeasurementResult(text=measured_text(measured, _command(given)), measured=measured)


@contextlib.contextmanager
def _subject(given: argparse.Namespace) -> Iterator[Subject]:
    asked = asked_features(given)
    if given.store is not None:
        store = FeatureStore.open(given.store)
        store.refuse_other_spec(asked)
        check_folder(f"The store {given.store}", store.uri)
        yield Subject(store.conv_base(), store.spec, store)
        return
    with temporary_folder() as folder:
        built = Path(folder, "built")
        built.mkdir()
        prepared = cached_conv_base(FeatureSpec(**{"weights": NO_WEIGHTS, **asked}), built)
        yield Subject(prepared.publish(canonical_uri(str(folder / "published"))), prepared.spec, None)


def _measured(given: argparse.Namespace, subject: Subject, say: Callable[[str, float], None]) -> Measured:
    spec, seconds = subject.spec, given.seconds
    engine = choose_engine(given.engine, spec)
    say("reading pictures", 0.0)
    sample = _sample(given, subject)
    say("running the base", 0.3)
    others = [FLOAT32, BFLOAT16] if engine == EngineName.OPENVINO else []
    precisions = list(dict.fromkeys([spec.precision, *others]))
    shape = spec.resolved_input_shape
    speeds = measure_bases(subject.base, shape, engine, precisions, _SHARE_OF_A_SETTING * seconds)
    measured = measured_base(spec, speeds)
    say("comparing features", 0.9)
    return dataclasses.replace(
        measured,
        pictures=sample.costs if sample else None,
        agreements=tuple(_agreements(subject.base, measured, sample)) if sample else (),
        price_per_hour=given.price_per_hour,
    )


def _sample(given: argparse.Namespace, subject: Subject) -> SampledPictures | None:
    """Reads some pictures of the input, or of the store.

    Raises:
        RunFailed: If there are images, and none of them can be read and decoded.
    """
    listed = _listed(given, subject.store)
    if listed is None:
        return None
    sample = sample_pictures(
        listed,
        DecodingRules.of_spec(subject.spec, decoding_limits(given)),
        pictures=given.pictures,
        max_bytes=given.max_bytes,
        reach=fetching_reach(given),
        seconds=max(_SHARE_OF_PICTURES * given.seconds, _LEAST_SECONDS_OF_PICTURES),
    )
    if sample is None:
        raise RunFailed("None of the pictures can be read and decoded; pipelines.extract says why.")
    return sample


def _listed(given: argparse.Namespace, store: FeatureStore | None) -> Iterator[pa.RecordBatch] | None:
    if given.input:
        rules = listing_rules(given)
        sources = find_sources(given.input, manifest_options(given), rules)
        ignored = IgnoredFiles()
        return (batch for source in sources for batch in list_source(source, rules, ignored))
    if store is None or not store.scan_images(["uri"]).count():
        return None
    return (refs_of_uris(batch.column(0)) for batch in store.scan_images(["uri"]).to_batches())


def _agreements(base: PublishedBase, measured: Measured, sample: SampledPictures) -> Iterator[Agreement]:
    """Yields how far features move in lower precisions, and by scaled decoding."""
    if FLOAT32 not in measured.precisions:
        return
    pixels = sample.pixels["exact"]
    reference = (measured.best(FLOAT32), pixels)
    for precision in measured.precisions:
        if precision != FLOAT32:
            yield agreement_of(base, reference, (measured.best(precision), pixels), precision)
    yield agreement_of(base, reference, (measured.best(FLOAT32), sample.pixels["scaled"]), "scaled")


def _command(given: argparse.Namespace) -> str:
    spec = spec_options(given)
    options = {
        "input": given.input or ["IMAGES"],
        "output": given.store or "STORE",
        "conv_base_arg": spec.pop("conv_base_args", None),
        **spec,
    }
    return shlex.join(["python", "-m", "pipelines.extract", *arguments_of(parser(), (), options)])


if __name__ == "__main__":
    run_main(main)
else:
    make_callable(__name__)
