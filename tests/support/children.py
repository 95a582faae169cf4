"""Commands in processes of their own that have Beam imported already: a killed one, and several at once.

A process is forked from a server that has imported the slow packages and done nothing else, and takes a tenth of a
second to start instead of ten.
"""

import contextlib
import dataclasses
import functools
import importlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Sequence
from multiprocessing.context import ForkServerProcess
from multiprocessing.synchronize import Barrier
from pathlib import Path

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["pipelines.extract", "transforms.extraction.beam", "openvino"])


@dataclasses.dataclass(frozen=True)
class Kill:
    """Where a process is killed, as by `kill -9`.

    Attributes:
        function: A function or method, as `module:name`.
        call: The call of it, from 1.
        done: Whether the call is done first.
    """

    function: str
    call: int = 1
    done: bool = False


def start_extraction(
    arguments: Sequence[object], log: Path, *, kill: Kill | None = None, meet: Barrier | None = None
) -> ForkServerProcess:
    """Starts an extraction in a process of its own.

    Args:
        arguments: The command's arguments.
        log: Where its output goes.
        kill: Where it is killed.
        meet: Where it waits for others before it commits.
    """
    environment = dict(os.environ)
    process = CONTEXT.Process(target=_run, args=(["extract", *map(str, arguments)], log, kill, meet, environment))
    process.start()
    return process


def start_fine_tuning(arguments: Sequence[object], log: Path, kill: Kill) -> ForkServerProcess:
    """Starts a fine-tuning in a process of its own, in which it is killed."""
    return _start_killed("finetune", arguments, log, kill)


def start_training(arguments: Sequence[object], log: Path, kill: Kill) -> ForkServerProcess:
    """Starts a training in a process of its own, in which it is killed."""
    return _start_killed("train", arguments, log, kill)


def _start_killed(command: str, arguments: Sequence[object], log: Path, kill: Kill) -> ForkServerProcess:
    process = CONTEXT.Process(target=_run, args=([command, *map(str, arguments)], log, kill, None, dict(os.environ)))
    process.start()
    return process


def _run(command: list[str], log: Path, kill: Kill | None, meet: Barrier | None, environment: dict[str, str]) -> None:
    from schemas.errors import ConvbaseError

    main = importlib.import_module(f"pipelines.{command[0]}").main

    os.environ.update(environment)
    if kill is not None:
        wrap(kill.function, functools.partial(_killed, kill))
    if meet is not None:
        wrap("transforms.extraction.beam:commit_run", functools.partial(_met, meet))
    with log.open("w") as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
        try:
            code = main(command[1:])
        except ConvbaseError as error:
            print(f"error: {error}")
            code = error.exit_code
    sys.exit(code)


def wrap(
    target: str,
    wrapper: Callable[[Callable[..., object]], Callable[..., object]],
    set_attribute: Callable[[object, str, object], None] = setattr,
) -> None:
    """Puts something around a function or method, `module:name`."""
    module, _, path = target.partition(":")
    *owners, name = path.split(".")
    owner = functools.reduce(getattr, owners, importlib.import_module(module))
    set_attribute(owner, name, wrapper(getattr(owner, name)))


def _killed(kill: Kill, function: Callable[..., object]) -> Callable[..., object]:
    calls = 0

    def counted(*arguments: object, **named: object) -> object:
        nonlocal calls
        calls += 1
        if calls == kill.call and not kill.done:
            os.kill(os.getpid(), signal.SIGKILL)
        result = function(*arguments, **named)
        if calls == kill.call:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return counted


def _met(barrier: Barrier, function: Callable[..., object]) -> Callable[..., object]:
    def waited(*arguments: object, **named: object) -> object:
        barrier.wait(timeout=300)
        return function(*arguments, **named)

    return waited
