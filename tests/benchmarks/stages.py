"""What the stages before the base cost: one thread lists, reads, hashes and decodes pictures, one stage at a time."""

import argparse
import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from schemas.images import image_refs
from transforms.decoding import MAX_BYTES, DecodingRules, decode_image
from transforms.images import fetch_image
from transforms.sources import IgnoredFiles, ListingRules, find_sources, list_source

T = TypeVar("T")


def main() -> None:
    """Runs the command."""
    command = argparse.ArgumentParser(allow_abbrev=False)
    command.add_argument("--input", required=True, help="a folder")
    command.add_argument("--side", type=int, required=True)
    command.add_argument("--figures", type=Path, required=True, help="where the figures go")
    given = command.parse_args()
    rules, decoding = ListingRules(), DecodingRules(given.side, given.side)
    seconds: dict[str, float] = {}

    def timed(stage: str, work: Callable[[], T]) -> T:
        started = time.process_time()
        result = work()
        seconds[stage] = time.process_time() - started
        return result

    sources = find_sources([given.input], rules=rules)
    batches = timed(
        "listing", lambda: [batch for source in sources for batch in list_source(source, rules, IgnoredFiles())]
    )
    refs = [ref for batch in batches for ref in image_refs(batch)]
    contents = timed("reading", lambda: [fetch_image(ref, MAX_BYTES) for ref in refs])
    timed("hashing", lambda: [hashlib.sha256(content).hexdigest() for content in contents])
    timed("decoding", lambda: [decode_image(content, decoding) is None for content in contents])
    figures = {f"{stage}_cpu_seconds": value for stage, value in seconds.items()}
    given.figures.write_text(json.dumps({"pictures": len(refs), **figures}))


if __name__ == "__main__":
    main()
