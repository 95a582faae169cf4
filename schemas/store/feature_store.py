"""`FeatureStore`: the folder that `--output` names, with three Delta tables and the conv base that made them.

    <store>/features/                    one row per image, and one per augmented copy of it
    <store>/failures/                    one row an image that could not be processed
    <store>/runs/                        one row a run
    <store>/conv_bases/<fingerprint>/    the published conv base

A store holds the features of one spec, which is written into the `features` table itself: making the table and naming
its spec is one atomic commit, so that two commands that create a store at the same moment cannot disagree. The files of
the conv base stand there too, with their SHA-256: whoever can write beside them cannot vouch for them.
"""

import datetime
import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from schemas.classifiers import holds_classifier
from schemas.commits import Commit, FileUpdate, commit_fragments
from schemas.delta import (
    UPKEEP,
    Scan,
    Where,
    as_expression,
    commit_once,
    commit_properties,
    create_table,
    data_files,
    find_table,
    holds_table,
    open_table,
)
from schemas.errors import (
    InvalidSpec,
    SpecMismatch,
    StoreNotFound,
    StoreNotWritable,
    UsageError,
    first_line,
    nearest_names,
    shown,
)
from schemas.fragments import Fragment, TableName
from schemas.search import OpenIndex, nearest_images, open_index
from schemas.spec import FeatureSpec
from schemas.storage import PublishedBase, PublishedFile, PublishedFiles, canonical_uri, join
from schemas.store.recorded_runs import record_run, recover_run, rows_of_run
from schemas.store.runs import Run, RunResult
from schemas.store.taken_out import TakenOut, has_committed
from schemas.store.widening import add_carried, fields_as_stored
from schemas.tables import AUGMENTATION, FAILURES, PARTITIONED_BY, RUNS, features_schema

_SPEC_PROPERTY: Final = "convbase.spec"
_BASE_PROPERTY: Final = "convbase.conv_base_files"
_SINGLE_WRITER_PROPERTY: Final = "convbase.single_writer"


class FeatureStore:
    """A feature store. Instances are cheap; every read opens the newest snapshot unless a version is named.

    Attributes:
        uri: The store's folder, in canonical form.
        spec: The spec of its features.
    """

    def __init__(self, uri: str, spec: FeatureSpec) -> None:
        """Use `open` or `create`."""
        self.uri = uri
        self.spec = spec

    def __repr__(self) -> str:
        return f"FeatureStore({self.uri!r}: {self.spec.conv_base}, {', '.join(self.spec.layers)})"

    @classmethod
    def open(cls, uri: str) -> "FeatureStore":
        """Opens a store.

        Raises:
            StoreNotFound: If there is none.
        """
        store = cls.find(uri)
        if store is None:
            held = "predictions" if holds_table(join(canonical_uri(uri), TableName.PREDICTIONS)) else ""
            held = held or ("a classifier" if holds_classifier(canonical_uri(uri)) else "")
            more = f", which holds {held}." if held else f"; pipelines.extract --output={uri} makes one."
            raise StoreNotFound(f"There is no feature store at {uri}{more}")
        return store

    @classmethod
    def find(cls, uri: str) -> "FeatureStore | None":
        """Opens a store, or returns None if there is none.

        Raises:
            StoreNotFound: If there is a part of one.
        """
        canonical = canonical_uri(uri)
        features = find_table(join(canonical, TableName.FEATURES))
        if features is None:
            _refuse_rows_without_log(join(canonical, TableName.FEATURES))
            return None
        spec = features.metadata().configuration.get(_SPEC_PROPERTY)
        if spec is None:
            raise StoreNotFound(f"{join(uri, TableName.FEATURES)} is a Delta table, but of no feature store.")
        try:
            return cls(canonical, FeatureSpec.from_json(spec))
        except (ValueError, InvalidSpec) as error:
            raise _property_damaged(canonical, _SPEC_PROPERTY, error) from error

    @classmethod
    def create(
        cls, uri: str, spec: FeatureSpec, conv_base: Sequence[PublishedFile] = (), *, single_writer: bool = False
    ) -> "FeatureStore":
        """Creates a store, or opens it if it is there already with the same spec.

        Args:
            uri: The folder; it is made.
            spec: A resolved spec whose conv base is published under the folder.
            conv_base: The files of the base; where none are named, the list beside them is believed.
            single_writer: The promise that no two commands ever write to it at once; it stands in the table. Without
                it, see `check_created_once`.

        Raises:
            SpecMismatch: If there is a store with another spec.
            StoreNotWritable: If the folder cannot be written.
        """
        canonical = canonical_uri(uri)
        try:
            create_table(join(canonical, TableName.FAILURES), TableName.FAILURES, FAILURES, PARTITIONED_BY)
            create_table(join(canonical, TableName.RUNS), TableName.RUNS, RUNS)
            properties = {_SPEC_PROPERTY: spec.to_json(), _SINGLE_WRITER_PROPERTY: json.dumps(single_writer)}
            if conv_base:
                properties[_BASE_PROPERTY] = PublishedFiles(tuple(conv_base)).to_json()
            schema = features_schema(spec)
            create_table(join(canonical, TableName.FEATURES), TableName.FEATURES, schema, PARTITIONED_BY, properties)
        except (OSError, DeltaError) as error:
            raise StoreNotWritable(f"The store {uri} cannot be written: {first_line(error)}") from error
        store = cls.open(canonical)
        if store.spec.fingerprint != spec.fingerprint:
            store.refuse_other_spec(spec.fields_of_features())
        store.refuse_other_spec({"augmentation": spec.augmentation_fields})
        return store

    def refuse_other_spec(self, asked: Mapping[str, object]) -> None:
        """Compares spec fields that were asked for with the store's.

        Raises:
            SpecMismatch: If one differs, naming every field that does.
        """
        differences = self.spec.differences(asked)
        if differences:
            raise SpecMismatch(
                f"The store {self.uri} holds features of another spec ({'; '.join(differences)}): "
                "leave these options out, or name another --output."
            )

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the store's spec."""
        return self.spec.fingerprint

    @property
    def conv_base_uri(self) -> str:
        """The folder of the published conv base."""
        return join(self.uri, "conv_bases", self.fingerprint)

    def conv_base(self) -> PublishedBase:
        """Returns the published conv base, with the files that the table names now.

        Raises:
            StoreNotFound: If what the table says of them is damaged.
        """
        files = self.features().metadata().configuration.get(_BASE_PROPERTY)
        if files is None:
            return PublishedBase(self.conv_base_uri)
        try:
            return PublishedBase(self.conv_base_uri, PublishedFiles.from_json(files).files, self.uri)
        except ValueError as error:
            raise _property_damaged(self.uri, _BASE_PROPERTY, error) from error

    def name_conv_base(self, files: Sequence[PublishedFile]) -> None:
        """Writes into the table which files are the conv base from now on, in one commit."""
        properties = {_BASE_PROPERTY: PublishedFiles(tuple(files)).to_json()}
        commit_id = f"conv-base/{uuid.uuid4()}"

        def write(table: DeltaTable) -> bool:
            about = commit_properties(commit_id, {UPKEEP: "publish"})
            table.alter.set_table_properties(properties, raise_if_not_exists=False, commit_properties=about)
            return True

        commit_once(join(self.uri, TableName.FEATURES), commit_id, write)

    def features(self, version: int | None = None) -> DeltaTable:
        """Returns a snapshot of `features`."""
        return open_table(join(self.uri, TableName.FEATURES), version)

    def failures(self, version: int | None = None) -> DeltaTable:
        """Returns a snapshot of `failures`."""
        return open_table(join(self.uri, TableName.FAILURES), version)

    def runs(self) -> DeltaTable:
        """Returns the newest snapshot of `runs`."""
        return open_table(join(self.uri, TableName.RUNS))

    def scan(
        self, columns: Sequence[str] | None = None, where: Where | None = None, *, table_version: int | None = None
    ) -> Scan:
        """Prepares a scan of `features`; see `Scan` for its endings and arguments."""
        return Scan(self.features(table_version), columns, where)

    def scan_images(
        self, columns: Sequence[str] | None = None, where: Where | None = None, *, table_version: int | None = None
    ) -> Scan:
        """Prepares a scan of `features` without the rows of augmented copies, so that each image has one row."""
        if self.spec.augmentation:
            originals = pc.field(AUGMENTATION) == 0
            where = originals if where is None else as_expression(where) & originals
        return self.scan(columns, where, table_version=table_version)

    def neighbours(
        self,
        features: np.ndarray,
        k: int = 10,
        *,
        layer: str | None = None,
        where: Where | None = None,
        table_version: int | None = None,
        index: OpenIndex | None = None,
    ) -> pa.Table:
        """Finds the images whose features are nearest to given ones by cosine distance, in bounded memory.

        All images are compared, unless an index is given: then those that it has are looked up in it, and the others,
        which came since, are compared. What it finds are images of the table all the same, and their distances exact.

        Args:
            features: float32 [n, D], or [n, H, W, C], which are averaged over H and W as those of the store are.
            k: Neighbours of each of them.
            layer: The feature column; by default the only one.
            where: Which images are looked at; see `Scan`.
            table_version: The version of the table, by default the newest.
            index: What `index` returned for the layer; where there is a condition, it is not used.

        Returns:
            A row for each neighbour, the nearest first: `query` (int64, the place in `features`), `distance` (float32,
            0 to 2), and every column of the table but features.

        Raises:
            UsageError: If the store has several layers and none is named, or no such layer.
            InvalidFeatures: If features of the store, or those given, are NaN or infinite, or have another length.
        """
        name = self.layer(layer)
        scan = self.scan_images(where=where, table_version=table_version)
        usable = index if where is None else None
        return nearest_images(scan, name, self.spec.shape_by_layer[name], features, k, index=usable)

    def index(self, layer: str | None = None) -> OpenIndex | None:
        """Opens the index of a layer that `pipelines.index` has made, for any number of searches; None without one.

        Of a store that is not on this machine's disks it is fetched whole, and kept in the user's cache.

        Raises:
            UsageError: If the store has several layers and none is named, or no such layer; or if there is an index,
                and faiss, which reads it, is not installed.
            RunFailed: If the index is damaged.
        """
        return open_index(self.uri, self.layer(layer))

    def layer(self, name: str | None = None) -> str:
        """Returns the name of a feature column: the one that is named, or the only one.

        Raises:
            UsageError: If there are several and none is named, or there is none of that name.
        """
        layers = self.spec.layers
        if name is None and len(layers) > 1:
            raise UsageError(f"The store has features of several layers; name one with --layer: {', '.join(layers)}.")
        if name is not None and name not in layers:
            raise UsageError(f"The store has no features of a layer '{name}'{nearest_names(name, layers) or '.'}")
        return name or layers[0]

    def carry(self, carried: Iterable[pa.Field]) -> tuple[pa.Field, ...]:
        """Adds columns that a manifest carries along to `features`, where it lacks them.

        A column of whole numbers that is to hold other numbers becomes one of these: every file is written again.

        Returns:
            The fields, with the types that the table has from now on.

        Raises:
            InvalidInput: If a column is there with a type that does not hold both.
            InvalidSpec: If a column has a name that is taken.
        """
        return add_carried(self.uri, self.spec, list(carried))

    def stored_fields(self, carried: Iterable[pa.Field]) -> tuple[pa.Field, ...]:
        """Returns the fields of columns with the types that `carry` gives them; changes nothing.

        Raises:
            InvalidInput: If a column is there with a type that does not hold both.
        """
        return fields_as_stored(pa.schema(self.features().schema()), carried)

    def commit_fragments(
        self,
        name: TableName,
        commit_id: str,
        fragments: Iterable[Fragment],
        planned_on: Mapping[TableName, int] | None = None,
        *,
        updates: Sequence[FileUpdate] = (),
        refresh: bool = False,
        about: Mapping[str, str] = MappingProxyType({}),
    ) -> Commit:
        """Makes the rows of fragments visible in one atomic commit, once a commit id, whatever is tried again.

        Rows that others have committed since are left out, and older rows of images in superseding fragments go in the
        same commit, so that no reader ever sees an image twice or not at all. Where `planned_on` names no versions,
        everything in the table counts as committed since. See `schemas.commits.commit_fragments`.
        """
        return commit_fragments(
            self.uri, name, commit_id, fragments, planned_on or {}, updates=updates, refresh=refresh, about=about
        )

    def record_run(self, run: Run, result: RunResult) -> None:
        """Writes the row of a run, once an attempt; see `recorded_runs`."""
        record_run(self.uri, self.spec, run, result)

    def recover_run(self, run_id: str) -> None:
        """Writes the row that a run lacks whose features are committed; nothing if it lacks none."""
        newest = {TableName.FEATURES: self.features().version(), TableName.FAILURES: self.failures().version()}
        recover_run(self.uri, self.spec, run_id, newest)

    def find_run(self, run_id: str, started_at: datetime.datetime | None = None) -> dict[str, Any] | None:
        """Returns the row of a run by column, or None if it has not ended.

        Args:
            run_id: The run.
            started_at: When it began, if it may have been begun several times: clocks may be set back in between. Where
                no row is of that attempt, or none is named, the last one is returned.
        """
        rows = sorted(rows_of_run(self.uri, run_id), key=lambda row: row["started_at"] == started_at)
        return rows[-1] if rows else None

    def committed_run(self, run_id: str) -> dict[str, Any] | None:
        """Returns the row of a run whose features are committed and still there, or None if there is no such run."""
        taken_out = TakenOut(join(self.uri, TableName.FEATURES))
        rows = [row for row in rows_of_run(self.uri, run_id) if has_committed(row) and not taken_out.since(row)]
        return rows[-1] if rows else None


def _refuse_rows_without_log(table_uri: str) -> None:
    """Refuses a folder with the files of a table whose log is missing: a new table there would know none of them."""
    if any(True for _ in data_files(table_uri)) and not holds_table(table_uri):  # Others may have made it meanwhile.
        raise StoreNotFound(
            f"{table_uri} has Parquet files, and no log (_delta_log) that says which of them count: it was not copied "
            "whole. Copy the store again, or name another folder."
        )


def _property_damaged(uri: str, name: str, error: Exception) -> StoreNotFound:
    return StoreNotFound(
        f"The store {uri} cannot be used: the property {name} of its table is damaged ({shown(first_line(error), 300)})"
    )
