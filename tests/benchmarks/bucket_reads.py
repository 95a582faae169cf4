"""Lists a folder of a bucket and reads what is in it, with nothing else: a step of the benchmark of the cloud."""

import argparse
import json
import resource
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from schemas.images import image_refs
from schemas.storage import Storage
from transforms.decoding import MAX_BYTES
from transforms.images import fetch_image
from transforms.sources import IgnoredFiles, ListingRules, find_sources, list_source

THREADS = 16


def main() -> None:
    """Runs the command."""
    command = argparse.ArgumentParser(allow_abbrev=False)
    command.add_argument("--input", required=True, help="a folder")
    command.add_argument("--storage", type=Storage, default=Storage.OBSTORE)
    command.add_argument("--figures", type=Path, required=True, help="where the figures go")
    command.add_argument("--list_only", action="store_true")
    given = command.parse_args()
    rules = ListingRules(storage=given.storage)
    started, cpu_started, keys = time.perf_counter(), time.process_time(), 0
    refs = []
    for source in find_sources([given.input], rules=rules):
        for batch in list_source(source, rules, IgnoredFiles()):
            keys += batch.num_rows
            refs += [] if given.list_only else image_refs(batch)
    listed, cpu_listed = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(THREADS) as pool:
        read = sum(map(len, pool.map(lambda ref: fetch_image(ref, MAX_BYTES), refs)))
    figures = {
        "keys": keys,
        "listing_seconds": listed - started,
        "listing_cpu_seconds": cpu_listed - cpu_started,
        "bytes": read,
        "seconds": time.perf_counter() - listed,
        "cpu_seconds": time.process_time() - cpu_listed,
        "peak_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    }
    given.figures.write_text(json.dumps(figures))


if __name__ == "__main__":
    main()
