"""Archives beside the folder that they were packed from: listing, and extraction with a base that costs nothing.

The pictures are small, so that what an archive costs is not hidden by decoding.
"""

import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Final

from tests.benchmarks.feeding import SMALL_SIDE, fed_by, small_pictures
from tests.benchmarks.results import Figure, ratio
from tests.benchmarks.workshop import Workshop

MEMBERS: Final = 20_000
_FORMS: Final = ("stored.zip", "deflated.zip", "plain.tar", "packed.tar.gz")


def archives(workshop: Workshop, rounds: int, count: int = MEMBERS) -> list[Figure]:
    """Measures a folder and archives of it in turn, a new process each, the files in the page cache.

    Raises:
        Unmeasurable: If a process fails.
    """
    folder = workshop.kept(f"members-{count}")
    paths = small_pictures(count, folder)
    inputs = {"folder": folder, **{form: _packed(paths, workshop.kept(f"members-{count}-{form}")) for form in _FORMS}}
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in inputs}
    for _ in range(rounds):
        for name, path in inputs.items():
            options = [f"--input={path}", f"--side={SMALL_SIDE}"]
            fed = fed_by(workshop, [sys.executable, "-m", "tests.benchmarks.fed", *options])
            seconds[name].append((fed["listing_seconds"], fed["seconds"]))
    figures = []
    whole = {}
    for name, values in seconds.items():
        listing, _ = zip(*values, strict=True)
        whole[name] = Figure(f"{name}: listing and extracting {count:,}", tuple(map(sum, values)), "s")
        figures += [Figure(f"{name}: listing", listing, "s"), whole[name]]
    return [*figures, *(ratio(f"{form} ÷ folder", whole[form], whole["folder"]) for form in _FORMS)]


def _packed(paths: list[str], archive: Path) -> Path:
    """Packs files, in the order of their names, unless that is done already."""
    if archive.exists():
        return archive
    unfinished = archive.with_name(f"unfinished-{archive.name}")
    if archive.name.endswith("zip"):
        method = zipfile.ZIP_DEFLATED if "deflated" in archive.name else zipfile.ZIP_STORED
        with zipfile.ZipFile(unfinished, "w", method) as zipped:
            for path in paths:
                zipped.write(path, Path(path).name)
    else:
        with tarfile.open(unfinished, "w:gz" if archive.name.endswith("gz") else "w") as taped:
            for path in paths:
                taped.add(path, Path(path).name)
    unfinished.rename(archive)
    return archive
