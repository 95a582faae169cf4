"""The store that a command writes to or reads: found, opened at a version, or made with its conv base."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from deltalake.exceptions import DeltaError

from pipelines.jobs.asked_spec import asked_spec, new_spec
from pipelines.runners import beam_imported_meanwhile
from schemas.delta import Where, parse_where
from schemas.errors import ConvbaseError, RunFailed, StoreNotWritable, UsageError
from schemas.fragments import TableName
from schemas.spec import BFLOAT16, TF32, FeatureSpec
from schemas.storage import canonical_uri, check_created_once, check_folder, join, refused_if_not_writable
from schemas.store import FeatureStore
from transforms.conv_bases import (
    TF32_NEEDS_A_GPU,
    EngineName,
    cached_conv_base,
    choose_engine,
    files_of_base,
    is_published,
)
from transforms.export import STORE, check_output_folder
from transforms.machine import speed_against_float32
from transforms.runtime import temporary_folder

DEFAULT_STORE: Final = "./feature-store"

# Below it a precision is called slower: timings of a busy machine differ by some percent.
_AS_FAST: Final = 0.95


def named_store(given: argparse.Namespace) -> str:
    """Returns the store that was asked for, in its canonical form if it has one, whether there is one or not."""
    uri: str = given.output or DEFAULT_STORE
    try:
        return canonical_uri(uri)
    except (ConvbaseError, ImportError, ValueError):
        return uri


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
        UsageError: If the engine has no such precision, or the folder holds predictions or a classifier.
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
    check_output_folder(uri, STORE)
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
