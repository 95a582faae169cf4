"""Extracts pictures with a base that costs nothing, and says how long that took: a step of two other benchmarks."""

import argparse
import datetime
import json
import time
from concurrent.futures import Future
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa

from schemas.images import ref_schema
from schemas.spec import FeatureSpec
from schemas.store import FeatureStore
from transforms.conv_bases import EngineName, Features
from transforms.decoding import MAX_BYTES, DecodingLimits
from transforms.extraction import Extraction, Worker
from transforms.extraction.shard import compute_shard
from transforms.shuffle import in_reading_order
from transforms.sources import IgnoredFiles, ListingRules, find_sources, list_source, look_up_versions

FLOATS = 1024
MOST_WARM_UP = 64


class NoBase:
    """An engine whose features are the first values of the pixels, as soon as they are asked for; see `Engine`."""

    batches_in_flight = 4
    load_seconds = 0.0

    def submit(self, pixels: np.ndarray) -> "Future[Features]":
        """Returns a future that is done; see `Engine`."""
        future: Future[Features] = Future()
        future.set_result([pixels.reshape(len(pixels), -1)[:, :FLOATS].astype(np.float32)])
        return future


def feed(worker: Worker, extraction: Extraction, shards: list[pa.RecordBatch]) -> tuple[float, float]:
    """Extracts shards and returns the seconds of wall and of CPU. The benchmark finds its frames by this name."""
    started, cpu_started = time.perf_counter(), time.process_time()
    for shard in shards:
        compute_shard(shard, lambda _: worker, extraction)
    return time.perf_counter() - started, time.process_time() - cpu_started


def in_memory(path: str) -> str:
    """Copies a file into fsspec's file system in memory, remote storage that costs nothing, and returns its URI."""
    uri = f"memory://{path}"
    fsspec.filesystem("memory").pipe_file(path, Path(path).read_bytes())
    return uri


def refs_of_files(paths: list[str], *, remote: bool) -> pa.RecordBatch:
    """Returns refs of local files, or of copies of them in memory."""
    uris = [in_memory(path) for path in paths] if remote else [f"file://{path}" for path in paths]
    rows = [
        {"uri": uri, "version": "1", "_size": Path(path).stat().st_size} for uri, path in zip(uris, paths, strict=True)
    ]
    return pa.RecordBatch.from_pylist(rows, schema=ref_schema())


def listed_refs(uri: str) -> pa.RecordBatch:
    """Lists an input, as the first steps of an extraction do."""
    rules, ignored = ListingRules(), IgnoredFiles()
    listed = [batch for source in find_sources([uri]) for batch in list_source(source, rules, ignored)]
    batches = [look_up_versions(batch) for batch in listed]
    return in_reading_order(pa.Table.from_batches(batches).combine_chunks().to_batches()[0])


def main() -> None:
    """Runs the command."""
    command = argparse.ArgumentParser(allow_abbrev=False)
    pictures = command.add_mutually_exclusive_group(required=True)
    pictures.add_argument("--pictures", type=Path, help="a list of local files, one a line")
    pictures.add_argument("--input", help="a folder or an archive, whose listing is timed too")
    command.add_argument("--figures", type=Path, required=True, help="where the figures go")
    command.add_argument("--store", required=True, help="a folder in which nothing is")
    command.add_argument("--side", type=int, required=True)
    command.add_argument("--batch_size", type=int, default=8)
    command.add_argument("--decode_processes", type=int, default=None)
    command.add_argument("--remote", action="store_true", help="read them from storage that is not local")
    given = command.parse_args()
    spec = FeatureSpec(
        conv_base="VGG16", weights="none", weights_sha256="ab" * 32, input_shape=(given.side, given.side, 3),
        layers=("features",), feature_shapes=((FLOATS,),),
    )  # fmt: skip
    store = FeatureStore.create(given.store, spec)
    extraction = Extraction(
        output_uri=store.uri, spec=spec, schema=pa.schema(store.features().schema()), run_id="fed",
        ds=datetime.date(2026, 1, 31), engine=EngineName.OPENVINO, batch_size=given.batch_size, limits=DecodingLimits(),
        max_bytes=MAX_BYTES, decode_processes=given.decode_processes,
    )  # fmt: skip
    started = time.perf_counter()
    if given.input:
        refs = listed_refs(given.input)
    else:
        refs = refs_of_files(given.pictures.read_text().split("\n")[:-1], remote=given.remote)
    listing = time.perf_counter() - started
    worker = Worker(NoBase(), extraction.start_loading())
    warm_up = min(MOST_WARM_UP, refs.num_rows // 2)
    feed(worker, extraction, [refs.slice(0, warm_up)])
    shards = [refs.slice(first, 1024) for first in range(warm_up, refs.num_rows, 1024)]
    seconds, cpu_seconds = feed(worker, extraction, shards)
    count = refs.num_rows - warm_up
    figures = {"pictures": count, "seconds": seconds, "cpu_seconds": cpu_seconds, "listing_seconds": listing}
    given.figures.write_text(json.dumps(figures))


if __name__ == "__main__":
    main()
