"""A process of its own for Keras, on its OpenVINO backend.

It builds and exports there without TensorFlow, in a tenth of the time, the caller never holds the model, and the
backend that may have been chosen for Keras in the caller's own process does not matter.
"""

import concurrent.futures
import contextlib
import importlib.abc
import multiprocessing
import os
import sys
import threading
import types
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from typing import Final, ParamSpec, Self, TypeVar

from schemas.errors import RunFailed, first_line
from schemas.storage import undisturbed
from transforms.runtime import without_telemetry

P = ParamSpec("P")
T = TypeVar("T")

# Two that start at once would take each other's stand-in for the main module.
_STARTING: Final = threading.Lock()


def in_keras_process(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Calls a function of a module in a process of its own, where Keras runs on its OpenVINO backend.

    Raises:
        RunFailed: If the process is killed.
    """
    with KerasProcess() as process:
        return process.call(function, *args, **kwargs)


class KerasProcess:
    """A process where Keras runs on its OpenVINO backend; it starts at the first call and does one at a time."""

    def __init__(self) -> None:
        """Prepares the process.

        Raises:
            RunFailed: If this machine has no semaphores for it, as where `/dev/shm` is full or missing.
        """
        context = multiprocessing.get_context("spawn")
        try:
            self._pool = concurrent.futures.ProcessPoolExecutor(1, context, _prepare)
        except OSError as error:
            raise RunFailed(
                f"A process for Keras needs semaphores, which lie in /dev/shm, and there are none: {first_line(error)}."
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Calls a function of a module there, and waits for what it returns; what it keeps is there at the next call.

        Raises:
            RunFailed: If the process is killed.
        """
        try:
            with _without_main(), undisturbed():
                running = self._pool.submit(function, *args, **kwargs)
            return running.result()
        except BrokenProcessPool as error:
            raise RunFailed("The process that builds a Keras model was killed; it may lack memory.") from error


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """Keeps a process that starts meanwhile from importing this one's main module.

    A command's would take a second, for nothing; a script that calls us without `if __name__ == "__main__"` would run
    again there.
    """
    with _STARTING:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = types.ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main


class _WithoutTensorFlow(importlib.abc.MetaPathFinder):
    """Hides TensorFlow. Keras imports it where it is there when it saves a model, for seconds and for nothing."""

    def find_spec(self, fullname: str, *_: object) -> None:
        if fullname == "tensorflow":
            raise ModuleNotFoundError("TensorFlow is not used here.", name=fullname)


def _prepare() -> None:
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    os.environ["KERAS_BACKEND"] = "openvino"
    without_telemetry()
    sys.meta_path.insert(0, _WithoutTensorFlow())


def _end_with_parent() -> None:
    """Ends this process once its parent is gone, also by a kill: the pool's queue never comes to its end."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
