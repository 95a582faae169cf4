"""Processes for Keras that tests start in this one, forked from a server that has imported Keras on OpenVINO's backend.

Each is a process of its own, as ever, and starts in a tenth of a second instead of three. Commands in processes of
their own start them as users' do.
"""

import contextlib
import multiprocessing
import multiprocessing.popen_forkserver
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.context import BaseContext, ForkServerContext, ForkServerProcess
from multiprocessing.forkserver import ForkServer
from multiprocessing.process import BaseProcess
from types import SimpleNamespace
from unittest import mock

from transforms.networks import keras_process

_SERVER = ForkServer()
_SERVER.set_forkserver_preload(["tests.support.keras_on_openvino"])


class _Popen(multiprocessing.popen_forkserver.Popen):
    """A process that is forked from a server of our own: that of `multiprocessing` has imported other things."""

    def _launch(self, process_obj: BaseProcess) -> None:
        server = multiprocessing.popen_forkserver.forkserver
        with mock.patch.object(server, "connect_to_new_process", _SERVER.connect_to_new_process):
            super()._launch(process_obj)


class _Process(ForkServerProcess):
    def __init__(self, *, target: Callable[..., object], args: Sequence[object] = ()) -> None:
        super().__init__(target=_in_environment, args=(dict(os.environ), target, *args))

    @staticmethod
    def _Popen(process_obj: BaseProcess) -> _Popen:  # noqa: N802 (multiprocessing's name)
        return _Popen(process_obj)


class _Context(ForkServerContext):
    Process = _Process  # type: ignore[assignment]


def _in_environment(environment: Mapping[str, str], target: Callable[..., object], *arguments: object) -> None:
    """Does what a process is for with the environment of whoever starts it; the server has that of its own start."""
    os.environ.clear()
    os.environ.update(environment)
    target(*arguments)


def _context(method: str) -> BaseContext:
    # Keras reads the variable when it is imported.
    return multiprocessing.get_context(method) if "KERAS_HOME" in os.environ else _Context()


@contextlib.contextmanager
def warm_keras_processes() -> Iterator[None]:
    """Lets processes for Keras start warm, those that this process starts."""
    patched = SimpleNamespace(get_context=_context, parent_process=multiprocessing.parent_process)
    with mock.patch.object(keras_process, "multiprocessing", patched):
        yield
