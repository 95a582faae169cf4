"""The user's cache is bounded, whoever else puts something there or removes it meanwhile."""

import os
from pathlib import Path

from schemas.caches import evict


def test_what_another_process_has_removed_meanwhile_is_no_matter(tmp_path: Path) -> None:
    old, young = tmp_path / "old", tmp_path / "young"
    for seconds, entry in enumerate((old, young)):
        entry.write_bytes(bytes(10))
        os.utime(entry, (seconds, seconds))
    evict([old, tmp_path / "unfinished", young], 15)
    assert [old.exists(), young.exists()] == [False, True]
