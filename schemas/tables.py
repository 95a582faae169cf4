"""The Arrow schemas of the store's tables; every field says in its metadata what it holds."""

import json
import math
from collections.abc import Collection, Iterable
from typing import Final

import numpy as np
import pyarrow as pa

from schemas.errors import InvalidSpec, RunFailed, shown, shown_names
from schemas.images import REF_SCHEMA
from schemas.spec import FeatureSpec, Shape

TIMESTAMP: Final = pa.timestamp("us", tz="UTC")
FLOATS: Final = pa.list_(pa.field("element", pa.float32(), nullable=False))

AUGMENTATION: Final = "augmentation"

_COMMENT: Final = b"comment"
_SHAPE: Final = b"shape"


def commented_field(name: str, kind: pa.DataType, comment: str, *, nullable: bool = False) -> pa.Field:
    """Returns a field that says in its metadata what it holds."""
    return pa.field(name, kind, nullable=nullable, metadata={_COMMENT: comment})


_URI: Final = commented_field("uri", pa.string(), "where the image is, in canonical form")
_VERSION: Final = commented_field("version", pa.string(), "etag, generation, or size and mtime of the image")
_RUN_ID: Final = commented_field("run_id", pa.string(), "the run that wrote this row")
_DS: Final = commented_field("ds", pa.date32(), "partition date")

_FEATURES_HEAD: Final = (
    _URI,
    _VERSION,
    commented_field("label", pa.string(), "class of the image", nullable=True),
    commented_field("split", pa.string(), "train, validation or test", nullable=True),
    commented_field("width", pa.int32(), "pixels of the picture as decoded and turned upright"),
    commented_field("height", pa.int32(), "pixels of the picture as decoded and turned upright"),
    commented_field("sha256", pa.string(), "SHA-256 of the image file's bytes, in hex"),
)
_AUGMENTATION_FIELD: Final = commented_field(
    AUGMENTATION, pa.int32(), "0 for the picture itself, else the number of its augmented copy; only with --augment"
)
_FEATURES_TAIL: Final = (
    _RUN_ID,
    commented_field("extracted_at", TIMESTAMP, "when the shard of this row was finished"),
    _DS,
)

FAILURES: Final = pa.schema(
    [
        _URI,
        _VERSION,
        commented_field("stage", pa.string(), "fetch, decode or compute"),
        commented_field("code", pa.string(), "stable code of the error"),
        commented_field("message", pa.string(), "what was wrong, in a sentence"),
        commented_field("permanent", pa.bool_(), "whether only another version of the image can change the result"),
        _RUN_ID,
        commented_field("failed_at", TIMESTAMP, "when the shard of this row was finished"),
        _DS,
    ]
)

RUNS: Final = pa.schema(
    [
        _RUN_ID,
        commented_field("ds", pa.date32(), "partition date of the rows that the run wrote"),
        commented_field("state", pa.string(), "complete, failed, stopped, or recovered: killed while it committed"),
        commented_field("message", pa.string(), "why the run failed or stopped", nullable=True),
        commented_field("started_at", TIMESTAMP, "when the run began"),
        commented_field("ended_at", TIMESTAMP, "when the run was committed or failed"),
        commented_field("listed", pa.int64(), "images in the input, each (uri, version) once"),
        commented_field("skipped", pa.int64(), "of these, images that the store knew already"),
        commented_field("extracted", pa.int64(), "of these, images that got features"),
        commented_field("augmented", pa.int64(), "further rows, of augmented copies of pictures", nullable=True),
        commented_field("reused", pa.int64(), "of the extracted, images that took the features of identical content"),
        commented_field("failed", pa.int64(), "of these, images that could not be processed"),
        commented_field("adopted", pa.int64(), "of these, images that a killed run had computed", nullable=True),
        commented_field("remaining", pa.int64(), "of these, images left because the time was up", nullable=True),
        commented_field(
            "labels_updated",
            pa.int64(),
            "of the skipped, images whose label, split or carried columns were brought up to date",
            nullable=True,
        ),
        commented_field("duplicates", pa.int64(), "duplicate URIs in the input"),
        commented_field(
            "left_aside",
            pa.int64(),
            "ignored files: hidden, excluded, or without an image's extension",
        ),
        commented_field("seconds", pa.float64(), "wall time of the run"),
        commented_field("images_per_second", pa.float64(), "images processed a second of wall time"),
        commented_field("failures_by_code", pa.string(), "JSON: failures of this run by code"),
        commented_field("feature_bytes", pa.int64(), "bytes of the Parquet files that the run added to features"),
        commented_field("table_version", pa.int64(), "version of features after the run", nullable=True),
        commented_field("planned_version", pa.int64(), "version of features on which the run planned", nullable=True),
        commented_field("fingerprint", pa.string(), "fingerprint of the feature spec"),
        commented_field("engine", pa.string(), "what ran the conv base"),
        commented_field("runner", pa.string(), "the Beam runner"),
        commented_field("spec", pa.string(), "JSON: the feature spec"),
        commented_field("options", pa.string(), "JSON: the command's options, credentials taken out"),
        commented_field("versions", pa.string(), "JSON: package versions"),
        commented_field(
            "labels",
            pa.string(),
            "JSON: labels and splits of the input; see schemas/store/label_counts.py",
            nullable=True,
        ),
        commented_field("metrics", pa.string(), "JSON: bytes, times and loads; see schemas/measures.py", nullable=True),
    ]
)

TAKEDOWNS: Final = pa.schema(
    [
        _URI,
        commented_field("taken_down_at", TIMESTAMP, "when the image was taken down"),
        commented_field("reason", pa.string(), "why, as given to the takedown", nullable=True),
    ]
)

DRIFT: Final = pa.schema(
    [
        commented_field("run_id", pa.string(), "the run that brought the images"),
        commented_field("ds", pa.date32(), "the date whose images were compared with those before it"),
        commented_field("since", pa.date32(), "the first of the dates before that were compared with it"),
        commented_field("layer", pa.string(), "the feature column"),
        commented_field("before", pa.int64(), "images of the dates before that were compared"),
        commented_field("later", pa.int64(), "images of the date that were compared"),
        commented_field("auc", pa.float64(), "how well a linear classifier tells them apart; 0.5 is not at all"),
        commented_field("auc_low", pa.float64(), "the lower end of its interval of 95 %"),
        commented_field("auc_high", pa.float64(), "the upper end"),
        commented_field("found", pa.bool_(), "whether that is more than chance"),
        commented_field("classes", pa.string(), "JSON: the shares of the classes that changed most"),
        commented_field("novel", pa.string(), "JSON: the images that are furthest from all before"),
        commented_field("measured_at", TIMESTAMP, "when it was measured"),
    ]
)

PARTITIONED_BY: Final = ("ds",)

_RESERVED: Final = frozenset(field.name for field in (*_FEATURES_HEAD, *_FEATURES_TAIL)) | set(REF_SCHEMA.names)


def features_schema(spec: FeatureSpec, carried: Iterable[pa.Field] = ()) -> pa.Schema:
    """Returns the schema of `features`: one non-null `list<float>` column a layer, further manifest columns after it.

    The shape of a feature stands in the metadata of its column, as JSON under `shape`. Only where training images have
    further rows is there a column `augmentation`: without it, every row is that of a picture itself.

    Args:
        spec: A resolved spec.
        carried: Fields of the columns that a manifest carries along.

    Raises:
        InvalidSpec: If a layer, or a carried column, has the name of another column.
    """
    _check_layers(spec.layers)
    layers = [layer_field(name, shape) for name, shape in spec.shape_by_layer.items()]
    augmentation = [_AUGMENTATION_FIELD] if spec.augmentation else []
    check_carried([field.name for field in (*augmentation, *layers)], carried)
    return pa.schema([*_FEATURES_HEAD, *augmentation, *layers, *carried_fields(carried), *_FEATURES_TAIL])


def _check_layers(layers: Iterable[str]) -> None:
    """Refuses layers whose names are taken, in any case; those of networks that others have saved may be anything.

    Raises:
        InvalidSpec: If there is one.
    """
    taken = {name.casefold() for name in (*_RESERVED, AUGMENTATION)}
    for layer in layers:
        if layer.casefold() in taken:
            raise InvalidSpec(
                f"The layer '{shown(layer)}' has the name of another column of a store, but for its case."
            )
        taken.add(layer.casefold())


def file_schema(schema: pa.Schema, partitioned_by: Collection[str] = PARTITIONED_BY) -> pa.Schema:
    """Returns the schema of a table's files: without the partition columns, which are in their paths."""
    return pa.schema([field for field in schema if field.name not in partitioned_by])


def has_augmentations(schema: pa.Schema) -> bool:
    """Whether an image may have several rows; a manifest's column of the same name is nullable, this one is not."""
    index = schema.get_field_index(AUGMENTATION)
    return index >= 0 and not schema.field(index).nullable


def carried_fields(carried: Iterable[pa.Field]) -> list[pa.Field]:
    """Returns the fields of carried columns as the table holds them: any row may lack them."""
    return [
        commented_field(field.name, field.type, "carried along from the manifest", nullable=True) for field in carried
    ]


def annotation_fields(schema: pa.Schema) -> list[pa.Field]:
    """Returns the fields of `features` that hold what the input says: label, split and carried columns."""
    others = {field.name for field in (*_FEATURES_HEAD, *_FEATURES_TAIL)} - {"label", "split"}
    others |= {AUGMENTATION} if has_augmentations(schema) else set()
    return [field for field in schema if field.name not in others and feature_shape(field) is None]


def check_carried(own: Iterable[str], carried: Iterable[pa.Field]) -> None:
    """Refuses carried columns whose names are taken.

    Args:
        own: Columns that the store has besides those of every store.
        carried: Fields of the columns that a manifest carries along.

    Raises:
        InvalidSpec: If a carried column has the name of a column of `features`.
    """
    reserved = {name.casefold() for name in _RESERVED.union(own)}
    taken = [field.name for field in carried if field.name.casefold() in reserved]
    if taken:
        raise InvalidSpec(
            f"The manifest has columns with names of the store's own: {shown_names(taken)}; rename them, or leave them "
            "out: --carry=NAME,… names those that are carried along, --carry=none leaves all out."
        )


def is_of_every_store(name: str) -> bool:
    """Whether a name is that of a column that every store has, in any case."""
    return name.casefold() in {own.casefold() for own in _RESERVED}


def layer_field(name: str, shape: Shape) -> pa.Field:
    """Returns the field of a feature column."""
    metadata = {_COMMENT: f"output of layer {name}", _SHAPE: json.dumps(shape)}
    return pa.field(name, FLOATS, nullable=False, metadata=metadata)


def feature_array(values: pa.Array, shape: Shape) -> np.ndarray:
    """Returns the features of some rows of a feature column as an array, without copying them.

    Args:
        values: Lists of floats.
        shape: The shape of one feature.

    Returns:
        float32 [n, *shape].

    Raises:
        RunFailed: If a row has no feature, or one of another length: the table was not written by this package, or is
            damaged.
    """
    floats = values.flatten()
    lengths = np.diff(values.offsets)
    if values.null_count or floats.null_count or (lengths != math.prod(shape)).any():
        raise RunFailed(
            f"Rows of the table have no feature of shape {shape}, though its schema says so; `pipelines.maintain STORE "
            "check --deep` names damaged files."
        )
    array: np.ndarray = floats.to_numpy()
    return array.reshape(-1, *shape)


def feature_shape(field: pa.Field) -> Shape | None:
    """Returns the shape of one feature, or None if the field is no feature column."""
    text = (field.metadata or {}).get(_SHAPE)
    return tuple(json.loads(text)) if text else None
