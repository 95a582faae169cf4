"""What a command does before its pipeline: look at the inputs, settle the spec, open the store, name the run."""

import argparse
import dataclasses
import datetime
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from deltalake.exceptions import DeltaError

from pipelines.jobs.samples import draw_samples
from pipelines.options import asked_augmentation, fetching_reach, manifest_options, spec_options
from pipelines.runners import beam_imported_meanwhile
from schemas.augmentation import AugmentedRows
from schemas.delta import Where, parse_where
from schemas.errors import InvalidInput, RunFailed, StoreNotWritable, UsageError, shown
from schemas.fragments import TableName
from schemas.spec import BFLOAT16, IMAGENET, NO_WEIGHTS, TF32, FeatureSpec
from schemas.storage import (
    Storage,
    bare_uri,
    canonical_uri,
    check_created_once,
    check_folder,
    join,
    refused_if_not_writable,
    without_secrets,
)
from schemas.store import FeatureStore, Run, new_run_id
from schemas.tables import AUGMENTATION
from transforms.conv_bases import (
    TF32_NEEDS_A_GPU,
    EngineName,
    cached_conv_base,
    choose_engine,
    files_of_base,
    is_published,
    speed_against_float32,
)
from transforms.origins import said_by_preset, saved_sha256, with_saved_network
from transforms.runtime import package_versions, temporary_folder
from transforms.sources import (
    FollowLinks,
    ListingRules,
    Source,
    annotated_columns,
    carried_columns,
    find_sources,
    take_first_look,
)

DEFAULT_STORE: Final = "./feature-store"
SAMPLES: Final = "./sample-pictures"

# An early layer: with random weights, each further layer distinguishes the shapes less well.
_SAMPLE_SPEC: Final[Mapping[str, Any]] = {
    "conv_base": "MobileNet",
    "conv_base_args": {"alpha": 0.25},
    "weights": NO_WEIGHTS,
    "input_shape": (96, 96, 3),
    "layers": ("conv_pw_3_relu",),
}
# Below it a precision is called slower: timings of a busy machine differ by some percent.
_AS_FAST: Final = 0.95
_PACKAGES: Final = ("apache-beam", "convbase", "deltalake", "keras", "numpy", "openvino", "pandas", "pillow", "pyarrow")


def find_images(given: argparse.Namespace) -> tuple[list[Source], ListingRules]:
    """Looks at the inputs; where none is given, draws the sample pictures.

    Raises:
        InvalidInput: If an input cannot be read, or there is no image in any of them, or none can be reached.
    """
    inputs = given.input
    if not inputs:
        samples = draw_samples(Path(SAMPLES))
        print(
            f"No --input: using {samples} sample pictures drawn into {SAMPLES}, a conv base with random weights "
            f"(unless --weights says otherwise), and the store {given.output or DEFAULT_STORE}."
        )
        inputs, given.labels_from = [SAMPLES], "parent"
    sources = find_sources(inputs, manifest_options(given), listing_rules(given))
    rules = listing_rules(given, sources)
    if not take_first_look(sources, rules, expect_files=given.max_failure_ratio < 1):
        raise InvalidInput(" ".join(dict.fromkeys(source.without_image(rules) for source in sources)))
    return sources, rules


def asked_columns(given: argparse.Namespace) -> list[str]:
    """Returns the columns of `features` that the options ask for, besides those of every store."""
    return [*(given.layers or ()), *([AUGMENTATION] if given.augment else [])]


def listing_rules(given: argparse.Namespace, sources: Sequence[Source] = ()) -> ListingRules:
    """Returns how sources are read; without sources, nothing is carried along.

    Raises:
        InvalidInput: If two of them give a column different types.
    """
    return ListingRules(
        extensions=given.extensions,
        labels_from_parent=given.labels_from == "parent",
        stat_manifests=given.manifest_versions == "stat",
        carried=carried_columns(sources, manifest_options(given).carry),
        include_hidden=given.include_hidden,
        exclude=tuple(given.exclude or ()),
        storage=Storage(given.storage),
        reach=fetching_reach(given),
        follow_links=FollowLinks(given.follow_links),
    )


def stored_rules(rules: ListingRules, store: FeatureStore | None) -> ListingRules:
    """Returns rules by which columns are carried along with the types that they get in a store, if there is one.

    Raises:
        InvalidInput: If a column is in the store with another type.
    """
    return rules if store is None else dataclasses.replace(rules, carried=store.stored_fields(rules.carried))


def updated_columns(given: argparse.Namespace, sources: Sequence[Source], rules: ListingRules) -> list[str]:
    """Returns the columns in which known images are brought up to date with the input."""
    return annotated_columns(sources, rules) if given.update_labels else []


def asked_spec(given: argparse.Namespace) -> dict[str, Any]:
    """Returns the fields of the spec that were given, files by their SHA-256, an augmentation by its fields.

    Raises:
        UsageError: If an augmentation has ranges, but no rows, or a saved network has options of other bases.
        InvalidSpec: If it cannot be.
        WeightsUnavailable: If the weights file, or the saved network, cannot be read.
    """
    asked = asked_features(given)
    augmentation = asked_augmentation(given)
    if augmentation:
        asked["augmentation"] = augmentation
    return asked


def asked_features(given: argparse.Namespace) -> dict[str, Any]:
    """Returns the fields of the spec that were given and decide what features are, files by their SHA-256.

    Raises:
        UsageError: If a saved network has options of other bases.
        InvalidSpec: If the base is a file of another kind.
        WeightsUnavailable: If the weights file, or the saved network, cannot be read.
    """
    asked = with_saved_network(spec_options(given))
    if asked.get("weights") not in {None, NO_WEIGHTS, IMAGENET}:
        asked["weights"] = _recorded_uri(asked["weights"])
        asked["weights_sha256"] = saved_sha256(asked["weights"])
    return asked


def _recorded_uri(given: str) -> str:
    uri = canonical_uri(given)
    if bare_uri(uri) != uri:
        raise UsageError(
            f"{shown(bare_uri(uri))} was given with a signature or a password, and a store records where its weights "
            "are from: copy the file, and name the copy."
        )
    return uri


def new_spec(given: argparse.Namespace) -> FeatureSpec:
    """Returns the spec of a store that is to be made, what is not given filled in."""
    asked = asked_spec(given)
    asked = {**said_by_preset(asked), **asked}
    augmentation = asked.pop("augmentation", None)
    if augmentation and augmentation["rows"]:
        asked["augmentation"] = AugmentedRows(**augmentation)
    if given.input:
        return FeatureSpec(**{"conv_base": "VGG16", **asked})
    return FeatureSpec(**{**({"weights": NO_WEIGHTS} if "conv_base" in asked else _SAMPLE_SPEC), **asked})


def find_store(given: argparse.Namespace) -> FeatureStore | None:
    """Opens the store, or returns None if there is none yet.

    Raises:
        SpecMismatch: If it holds features of another spec than the one asked.
    """
    store = FeatureStore.find(given.output or DEFAULT_STORE)
    if store is not None:
        store.refuse_other_spec(asked_spec(given))
    return store


def committed_before(given: argparse.Namespace) -> tuple[FeatureStore, Mapping[str, Any]] | None:
    """Returns the store and the row of the run that `--run_id` names, if that has committed and its rows are there.

    Raises:
        SpecMismatch: If the store holds features of another spec than the one asked.
    """
    store = find_store(given) if given.run_id else None
    if store is None:
        return None
    store.recover_run(given.run_id)
    row = store.committed_run(given.run_id)
    return None if row is None else (store, row)


def resolved_spec(given: argparse.Namespace) -> FeatureSpec:
    """Returns the spec that a store would have which is to be made.

    Raises:
        InvalidSpec: If there is no such conv base.
        WeightsUnavailable: If the weights cannot be had or do not fit.
    """
    with temporary_folder() as folder:
        return cached_conv_base(new_spec(given), Path(folder)).spec


def open_or_create_store(given: argparse.Namespace) -> FeatureStore:
    """Opens the store, or publishes the conv base and creates it.

    Raises:
        SpecMismatch: If the store holds features of another spec than the one asked.
        InvalidSpec: If there is no such conv base.
        WeightsUnavailable: If the weights cannot be had or do not fit.
        StoreNotWritable: If the store cannot be written, or is no place for several writers.
        UsageError: If the engine has no such precision.
    """
    store = find_store(given)
    if store is not None:
        _check_writable(store)
        _publish_if_missing(store)
        return store
    uri = given.output or DEFAULT_STORE
    spec = new_spec(given)
    if spec.precision == TF32 and choose_engine(given.engine, spec) == EngineName.OPENVINO:
        raise UsageError(TF32_NEEDS_A_GPU)
    what = f"The store {uri}"
    check_folder(what, uri, refusal=StoreNotWritable)
    with refused_if_not_writable(what, StoreNotWritable), temporary_folder() as folder, beam_imported_meanwhile():
        prepared = cached_conv_base(spec, Path(folder))
        if not given.single_writer:
            check_created_once(canonical_uri(uri))
        published = prepared.publish(canonical_uri(uri))
    store = FeatureStore.create(uri, prepared.spec, published.files, single_writer=given.single_writer)
    if spec.precision == BFLOAT16 and choose_engine(given.engine, spec) == EngineName.OPENVINO:
        _say_if_slower(store)
    return store


def _check_writable(store: FeatureStore) -> None:
    """Checks that a run can commit to a store, before it computes anything.

    Raises:
        StoreNotWritable: If it cannot.
    """
    tables = [join(store.uri, table) for table in (TableName.FEATURES, TableName.FAILURES, TableName.RUNS)]
    logs = [join(table, "_delta_log") for table in tables]
    check_folder(f"The store {store.uri}", *tables, *logs, refusal=StoreNotWritable)


def _publish_if_missing(store: FeatureStore) -> None:
    """Has the conv base of a store published, and its files named by the table, which older versions did not do."""
    base = store.conv_base()
    if not is_published(base):
        _publish_again(store)
    elif not base.files:
        store.name_conv_base(files_of_base(base))


def _publish_again(store: FeatureStore) -> None:
    """Publishes the conv base of a store that lacks it, or of which a file is missing or cut off.

    Raises:
        WeightsUnavailable: If its weights cannot be had any more.
        RunFailed: If it is another base that is built of the store's spec today.
    """
    with temporary_folder() as folder:
        prepared = cached_conv_base(store.spec, Path(folder))
        if prepared.spec.fingerprint != store.fingerprint:
            raise RunFailed(
                f"The conv base of {store.uri} is damaged, and what {store.spec.weights} gives today is another one: "
                f"put the files of {store.conv_base_uri} back from a copy."
            )
        store.name_conv_base(prepared.publish(store.uri).files)


def _say_if_slower(store: FeatureStore) -> None:
    spec = store.spec
    assert spec.input_shape is not None  # noqa: S101 (a published base has one)
    try:
        ratio = speed_against_float32(store.conv_base(), spec.precision, spec.input_shape)
    except RunFailed:  # This CPU has no such precision; the workers' may.
        return
    if ratio < _AS_FAST:
        print(
            f"On this machine {spec.conv_base} runs {ratio:.2f} times as fast in {spec.precision} as in float32: "
            "a store with --precision=float32 would fill sooner."
        )


def pinned_version(store: FeatureStore, asked: int | None) -> int:
    """Returns the version of `features` that is read from here on.

    Raises:
        UsageError: If the table has no such version.
    """
    try:
        return store.features(asked).version()
    except (DeltaError, OverflowError) as error:
        newest = store.features().version()
        raise UsageError(f"The table has no version {asked}; its newest is {newest}.") from error


def asked_images(given: argparse.Namespace, store: FeatureStore, version: int) -> Where | None:
    """Returns the condition of `--where`, if there is one.

    Raises:
        UsageError: If it is none.
    """
    return None if given.where is None else parse_where(given.where, pa.schema(store.features(version).schema()))


def new_run(
    given: argparse.Namespace,
    engine: EngineName,
    runner: str,
    beam_options: Mapping[str, object],
    refresh: str | None = None,
) -> Run:
    """Returns a run that begins now.

    Args:
        given: The command's options.
        engine: What runs the conv base.
        runner: The Beam runner.
        beam_options: Beam's own options, for the record.
        refresh: The refresh of which it is an attempt, if it is one.
    """
    now = datetime.datetime.now(datetime.UTC)
    own = {name: value for name, value in vars(given).items() if value is not None}
    recorded = json.dumps({**beam_options, **own}, default=str)
    return Run(
        run_id=given.run_id or new_run_id(now),
        ds=given.ds or now.date(),
        started_at=now,
        max_failure_ratio=given.max_failure_ratio,
        runner=runner,
        engine=engine,
        options=json.loads(without_secrets(recorded)),
        versions=package_versions(_PACKAGES),
        refresh=refresh,
    )
