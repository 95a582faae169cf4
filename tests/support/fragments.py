"""Fragments of a store whose features are simple numbers, for tests without a conv base."""

import datetime
import uuid

import pyarrow as pa

from schemas.delta import Scan
from schemas.errors import FailureCode
from schemas.fragments import Fragment, FragmentWriter, TableName
from schemas.spec import FeatureSpec
from schemas.store import FeatureStore, Run

SPEC = FeatureSpec(
    conv_base="VGG16",
    weights="none",
    weights_sha256="ab" * 32,
    input_shape=(32, 32, 3),
    layers=("pooled", "map"),
    pooling="none",
    feature_shapes=((3,), (2, 2, 1)),
)
DS = "2026-01-31"


def a_run(run_id: str, **fields: object) -> Run:
    """A run that begins now."""
    now = datetime.datetime.now(datetime.UTC)
    values = {"ds": now.date(), "started_at": now, "max_failure_ratio": 1.0, "runner": "", "engine": "", **fields}
    return Run(run_id=run_id, options={}, versions={}, **values)


def fragment(
    store: FeatureStore,
    rows: dict[str, float],
    version: str = "1",
    *,
    run_id: str = "r",
    supersedes: bool = False,
    name: str = "",
    **annotations: object,
) -> Fragment:
    """Writes a fragment: features of `rows`, all their floats the same, and all with the same annotations.

    Its file has a name of its own unless one is given.
    """
    now = datetime.datetime.now(datetime.UTC)
    values = [
        {
            "uri": uri, "version": version, "label": None, "split": "train", "width": 1, "height": 1, "sha256": uri,
            "pooled": [value] * 3, "map": [value, value + 1, value + 2, value + 3], "run_id": run_id,
            "extracted_at": now, **annotations,
        }
        for uri, value in rows.items()
    ]  # fmt: skip
    name = name or f"{run_id}-{uuid.uuid4()}"
    return _write(store, TableName.FEATURES, values, name).fragment(supersedes=supersedes)


def failures(
    store: FeatureStore,
    uris: list[str],
    version: str = "1",
    *,
    run_id: str = "r",
    code: FailureCode = FailureCode.EMPTY_FILE,
) -> Fragment:
    """Writes a fragment of failures, all of the same code."""
    now = datetime.datetime.now(datetime.UTC)
    values = [
        {
            "uri": uri, "version": version, "stage": code.stage, "code": str(code), "message": "The file is empty.",
            "permanent": code.permanent, "run_id": run_id, "failed_at": now,
        }
        for uri in uris
    ]  # fmt: skip
    return _write(store, TableName.FAILURES, values, f"{run_id}-{uuid.uuid4()}").fragment()


def _write(store: FeatureStore, table: TableName, values: list[dict[str, object]], name: str) -> FragmentWriter:
    schema = pa.schema((store.features() if table == TableName.FEATURES else store.failures()).schema())
    schema = schema.remove(schema.get_field_index("ds"))
    path = f"ds={DS}/{name}.parquet"
    with FragmentWriter(f"{store.uri}/{table}", table, path, schema) as writer:
        writer.write(pa.RecordBatch.from_pylist(values, schema))
    return writer


def contents(store: FeatureStore) -> dict[tuple[str, str], float]:
    """Returns the features by (uri, version); every URI is there once."""
    rows = store.scan(["uri", "version", "pooled"]).to_arrow().to_pylist()
    assert len({row["uri"] for row in rows}) == len(rows)
    return {(row["uri"], row["version"]): row["pooled"][0] for row in rows}


def failed_images(store: FeatureStore) -> list[str]:
    """Returns the URIs in `failures`, in order."""
    return sorted(Scan(store.failures()).to_arrow()["uri"].to_pylist())
