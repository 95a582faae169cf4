"""The import of Beam: what a command pays for it, and what it need not pay.

Beam imports the clients of every cloud that are installed, for file systems of its own: half a second of each command.
Images and stores are reached by fsspec, so Beam's are imported only where its options name such a place.
"""

import gc
import importlib
import importlib.abc
import logging
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from schemas.errors import UsageError, first_line

_FILE_SYSTEMS: Final = {
    "gs://": "apache_beam.io.gcp.gcsfilesystem",
    "s3://": "apache_beam.io.aws.s3filesystem",
    "azfs://": "apache_beam.io.azure.blobstoragefilesystem",
}


# `apache_beam.io` imports the client itself, too, for nothing else.
_LEFT_OUT: Final = frozenset({*_FILE_SYSTEMS.values(), "apache_beam.io.gcp.gcsio"})


class _WithoutFileSystems(importlib.abc.MetaPathFinder):
    """Has Beam go on without its file systems of clouds, as it does where their packages are not installed."""

    def find_spec(self, name: str, *_: object) -> None:
        if name in _LEFT_OUT:
            raise ModuleNotFoundError(f"{name} is imported once it is needed.")


@contextmanager
def beam_imported_meanwhile() -> Iterator[None]:
    """Imports Beam while something else is waited for; done at the end, unless that failed."""
    importing = threading.Thread(target=import_beam, name="import beam", daemon=True)
    importing.start()
    yield
    importing.join()


def import_beam() -> None:
    """Imports Beam, unless it is there, without its file systems of clouds.

    What it makes lives to the end of the process, and is kept from the garbage collector, which would look through it
    again and again: half a second of the two that a run with nothing to do takes.
    """
    if "apache_beam" in sys.modules:
        return
    finder = _WithoutFileSystems()
    sys.meta_path.insert(0, finder)
    gc.disable()
    try:
        with _quiet_import():
            importlib.import_module("apache_beam")
        gc.freeze()
    finally:
        gc.enable()
        sys.meta_path.remove(finder)


def import_file_systems(places: Sequence[str]) -> None:
    """Imports Beam's file systems of the clouds that are named.

    Args:
        places: Texts in which their URIs may stand, such as Beam's arguments.

    Raises:
        UsageError: If the packages of one are not installed.
    """
    for scheme, module in _FILE_SYSTEMS.items():
        if any(scheme in place for place in places):
            try:
                importlib.import_module(module)
            except ImportError as error:
                raise UsageError(f"Beam's file system of {scheme} is not installed: {first_line(error)}.") from error


@contextmanager
def _quiet_import() -> Iterator[None]:
    """Keeps Beam from warning, on import, that Google's client libraries are not installed."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)
