"""Planning: a Parquet manifest of N images against a store that holds 99 of 100, up to the shards and not further.

Once with versions alone, and once with labels too, which are those of the store.

python -m tests.benchmarks.planning --store=STORE --manifest=FILE --output=counts.json

What a run on one machine does until its first shard begins: Beam's import, listing, the anti-join, the shards, and
their way through the fusion break. Nothing is computed or committed.
"""

import argparse
import datetime
import itertools
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from schemas.fragments import FragmentWriter, TableName
from schemas.spec import FeatureSpec
from schemas.store import FeatureStore
from tests.benchmarks.results import Figure
from tests.benchmarks.workshop import Workshop
from transforms.extraction import as_lists

COUNTS: Final = (100_000, 1_000_000, 10_000_000)
_SHARD_SIZE: Final = 1024
_ROWS_PER_FRAGMENT: Final = 8192
_ROWS_PER_GROUP: Final = 2**20
_CLASSES: Final = 1000
_LAYER: Final = "features"
_DAY: Final = datetime.date(2026, 1, 31)

SPEC: Final = FeatureSpec(
    conv_base="VGG16",
    weights="none",
    weights_sha256="ab" * 32,
    input_shape=(32, 32, 3),
    layers=(_LAYER,),
    pooling="none",
    feature_shapes=((1,),),
)


def planning(workshop: Workshop, counts: Sequence[int] = COUNTS) -> list[Figure]:
    """Measures a process of its own for each number of images, the files in the page cache."""
    figures = []
    for count, labelled in itertools.product(counts, (False, True)):
        folder = workshop.kept("planning", f"{count}{'-labelled' if labelled else ''}")
        store, manifest = folder / "store", folder / "manifest.parquet"
        if not manifest.exists():
            make_store(store, range(count - count // 100), labelled=labelled)
            make_manifest(manifest, range(count), labelled=labelled)
        file = workshop.scratch("counts").with_suffix(".json")
        command = [sys.executable, "-m", "tests.benchmarks.planning", f"--store={store}", f"--manifest={manifest}"]
        measured = workshop.run([*command, f"--output={file}"])
        failure = measured.message
        if not measured.exit_code and (found := json.loads(file.read_text())) != [count, count // 100]:
            failure = f"listed and planned are {found}"
        name = f"{count:,} images, {count // 100:,} of them new{', with labels' if labelled else ''}"
        figures += [
            Figure(name, (measured.seconds,), "s", failure),
            Figure(f"{name}: peak memory", (measured.peak_bytes / 1e6,), "MB", failure),
        ]
    return figures


def images(numbers: range, *, labelled: bool = False) -> dict[str, pa.Array]:
    """Returns URIs of 77 bytes, 16 of them random, and versions of 32 random bytes, as names and ETags are; labels."""
    names, tags = (np.random.default_rng([numbers.start, column]) for column in range(2))
    folders = [f"s3://photos-of-the-world/incoming/camera-{number % 997:04}/2026/11/24/" for number in numbers]
    return {
        "uri": pc.binary_join_element_wise(pa.array(folders), _hexes(names, len(numbers), 8), ".jpg", ""),
        "version": _hexes(tags, len(numbers), 16),
        **({"label": pa.array([f"class-{number % _CLASSES:03}" for number in numbers])} if labelled else {}),
    }


def _hexes(rng: np.random.Generator, count: int, size: int) -> pa.Array:
    digits = rng.bytes(count * size).hex().encode()
    return pa.Array.from_buffers(pa.binary(2 * size), count, [None, pa.py_buffer(digits)]).cast(pa.string())


def _batches(numbers: range) -> list[range]:
    return [numbers[start : start + _ROWS_PER_FRAGMENT] for start in range(0, len(numbers), _ROWS_PER_FRAGMENT)]


def make_manifest(path: Path, numbers: range, *, labelled: bool = False) -> None:
    """Writes a manifest with URIs and versions, and labels."""
    schema = pa.schema([(name, pa.string()) for name in images(range(1), labelled=labelled)])
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for batches in (numbers[start : start + _ROWS_PER_GROUP] for start in range(0, len(numbers), _ROWS_PER_GROUP)):
            tables = [pa.table(images(batch, labelled=labelled), schema) for batch in _batches(batches)]
            writer.write_table(pa.concat_tables(tables), row_group_size=_ROWS_PER_GROUP)


def make_store(folder: Path, numbers: range, *, labelled: bool = False) -> FeatureStore:
    """Makes a store with one float an image, in fragments that are committed at once."""
    store = FeatureStore.create(str(folder), SPEC)
    schema = fragment_schema(store)
    fragments = []
    for batch in _batches(numbers):
        path = f"ds={_DAY.isoformat()}/{batch.start:09}.parquet"
        with FragmentWriter(f"{store.uri}/features", TableName.FEATURES, path, schema) as writer:
            writer.write(rows_of(batch, schema, labelled=labelled))
        fragments.append(writer.fragment())
    store.commit_fragments(TableName.FEATURES, "r", fragments)
    return store


def fragment_schema(store: FeatureStore) -> pa.Schema:
    """Returns the schema of the files of `features`."""
    schema = pa.schema(store.features().schema())
    return schema.remove(schema.get_field_index("ds"))


def rows_of(numbers: range, schema: pa.Schema, *, labelled: bool = False) -> pa.RecordBatch:
    """Returns rows of `features` for `images`."""
    count = len(numbers)
    known = images(numbers, labelled=labelled)
    same = {"width": 1, "height": 1, "sha256": "", "run_id": "r", "extracted_at": datetime.datetime.now(datetime.UTC)}
    columns = [
        as_lists(np.zeros((count, 1), np.float32), field.type)
        if field.name == _LAYER
        else known.get(field.name, pa.repeat(pa.scalar(same.get(field.name), field.type), count))
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def plan(store: FeatureStore, manifest: str) -> tuple[int, int]:
    """Plans as `pipelines.jobs` does on one machine; returns how many images are listed and how many planned."""
    from pipelines.runners import beam_options, new_pipeline, spill_folder

    options = beam_options(["--runner=DirectRunner"])
    import apache_beam as beam

    from transforms.planning import RetryFailures, Snapshot
    from transforms.planning.beam import MakeShards, SkipExtracted
    from transforms.runtime import PROGRESS
    from transforms.shuffle.beam import Spread
    from transforms.sources import ListingRules, annotated_columns, find_sources
    from transforms.sources.beam import ListImages

    sources, rules = find_sources([manifest]), ListingRules()
    with spill_folder(options) as spill, new_pipeline(options) as root:
        planned = (
            root
            | ListImages(sources, rules)
            | SkipExtracted(
                Snapshot.newest(store),
                RetryFailures.TRANSIENT,
                annotations=annotated_columns(sources, rules),
                spill_folder=spill,
            )
        )
        shards = planned | MakeShards(_SHARD_SIZE) | "Reshuffle" >> Spread(spill)
        shards | beam.Map(lambda shard: None)
    return PROGRESS.planned + PROGRESS.skipped, PROGRESS.planned


def main() -> None:
    """Plans once, and writes what was counted."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--store", required=True)
    parser.add_argument("--manifest", required=True)
    parser.add_argument("--output", required=True)
    given = parser.parse_args()
    Path(given.output).write_text(json.dumps(plan(FeatureStore.open(given.store), given.manifest)))


if __name__ == "__main__":
    main()
