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
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.context import ForkServerProcess
from multiprocessing.synchronize import Barrier
from pathlib import Path
from types import MappingProxyType

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["pipelines.extract", "transforms.extraction.beam", "openvino"])


# What a command waits before.
_MEETING = {"extract": "transforms.extraction.beam:commit_run", "train": "pipelines.train:reserved_folder"}


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
    return _start("extract", arguments, log, kill, meet)


def start_fine_tuning(arguments: Sequence[object], log: Path, kill: Kill) -> ForkServerProcess:
    """Starts a fine-tuning in a process of its own, in which it is killed."""
    return _start("finetune", arguments, log, kill, None)


def start_training(
    arguments: Sequence[object], log: Path, *, kill: Kill | None = None, meet: Barrier | None = None
) -> ForkServerProcess:
    """Starts a training in a process of its own; it may be killed, or wait for others before it takes its folder."""
    return _start("train", arguments, log, kill, meet)


def _start(
    command: str, arguments: Sequence[object], log: Path, kill: Kill | None, meet: Barrier | None
) -> ForkServerProcess:
    process = CONTEXT.Process(target=_run, args=([command, *map(str, arguments)], log, kill, meet, dict(os.environ)))
    process.start()
    return process


@dataclasses.dataclass(frozen=True)
class Pause:
    """Where a process stays for some seconds, so that signals meet it there.

    Attributes:
        function: A function or method, as `module:name`.
        call: The call of it, from 1.
        done: Whether the call is done first.
        seconds: How long it stays.
        sleeps_through: Whether it stays as long when a signal has come.
    """

    function: str
    call: int = 1
    done: bool = False
    seconds: float = 1.0
    sleeps_through: bool = False


def start_program(
    command: str,
    arguments: Sequence[object],
    folder: Path,
    pause: Pause | None = None,
    *,
    prepare: Callable[[], object] | None = None,
    cwd: Path | None = None,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> ForkServerProcess:
    """Starts a command in a process of its own as a shell does, at the head of a group of processes.

    Args:
        command: Its name.
        arguments: Its arguments.
        folder: Where it writes `stdout` and `stderr`, which may be there already as links or pipes, has its temporary
            files in `temporary`, and makes `reached` where it stays.
        pause: Where it stays.
        prepare: What the process does first; a function of a module.
        cwd: Its working directory; that of this process unless given.
        environment: Further variables of its environment.
    """
    (folder / "temporary").mkdir(parents=True)
    variables = {**os.environ, **environment}
    program = _Program(command, [*map(str, arguments)], folder, pause, prepare, cwd or Path.cwd(), variables)
    process = CONTEXT.Process(target=_run_program, args=(program,))
    process.start()
    return process


@dataclasses.dataclass(frozen=True)
class _Program:
    """What `start_program` was given, and the environment."""

    command: str
    arguments: Sequence[str]
    folder: Path
    pause: Pause | None
    prepare: Callable[[], object] | None
    cwd: Path
    environment: Mapping[str, str]


def _run_program(program: _Program) -> None:
    from pipelines.options import run_main

    os.setsid()
    os.chdir(program.cwd)
    os.environ.update(program.environment, TMPDIR=str(program.folder / "temporary"))
    tempfile.tempdir = None
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(program.folder / name, os.O_WRONLY | os.O_CREAT), descriptor)
        setattr(sys, name, os.fdopen(descriptor, "w", 1 if name == "stderr" else -1, closefd=False))
    sys.argv = [program.command, *program.arguments]
    main = importlib.import_module(f"pipelines.{program.command}").main
    if program.pause is not None:
        wrap(program.pause.function, functools.partial(_paused, program.pause, program.folder / "reached"))
    if program.prepare is not None:
        program.prepare()
    run_main(main)


def _paused(pause: Pause, reached: Path, function: Callable[..., object]) -> Callable[..., object]:
    def stay() -> None:
        reached.touch()
        try:
            time.sleep(pause.seconds)
        except KeyboardInterrupt:
            if pause.sleeps_through:
                time.sleep(pause.seconds)
            raise

    return at_call(stay, pause.call, done=pause.done)(function)


def _run(command: list[str], log: Path, kill: Kill | None, meet: Barrier | None, environment: dict[str, str]) -> None:
    from schemas.errors import ConvbaseError

    main = importlib.import_module(f"pipelines.{command[0]}").main

    os.environ.update(environment)
    if kill is not None:
        wrap(kill.function, at_call(_die, kill.call, done=kill.done))
    if meet is not None:
        wrap(_MEETING[command[0]], functools.partial(_met, meet))
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


def at_call(
    act: Callable[[], object], call: int, *, done: bool, again: bool = False
) -> Callable[[Callable[..., object]], Callable[..., object]]:
    """Returns what lets something happen right before or after one call of a function.

    Args:
        act: What happens; it may raise, or not return.
        call: At which call, from 1.
        done: Whether the call is done first.
        again: Whether it happens at every later call too.
    """

    def wrapper(function: Callable[..., object]) -> Callable[..., object]:
        calls = 0

        def counted(*arguments: object, **named: object) -> object:
            nonlocal calls
            calls += 1
            here = calls == call or (again and calls > call)
            if here and not done:
                act()
            result = function(*arguments, **named)
            if here and done:
                act()
            return result

        return counted

    return wrapper


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _met(barrier: Barrier, function: Callable[..., object]) -> Callable[..., object]:
    def waited(*arguments: object, **named: object) -> object:
        barrier.wait(timeout=300)
        return function(*arguments, **named)

    return waited
