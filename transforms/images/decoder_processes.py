"""Decoder processes: decoders beside this process, which cost its Python lock a message for several pictures.

They are forked by a server of their own (`transforms/images/decoder_server.py`) rather than by `multiprocessing`, whose
processes import the main module first: Beam, in a worker. A process that dies is replaced, and what it was doing is
done again.
"""

import concurrent.futures
import logging
import multiprocessing
import os
import queue
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any, Final, Protocol, TypeVar

from schemas.errors import RunFailed
from schemas.storage import undisturbed
from transforms.images.decoder import Content, Decoded, Decoder, DecodingTask, LocalFile, Undecoded
from transforms.images.decoder_server import READY, Journal, ask_for_fork
from transforms.images.pixel_memory import PixelMemory

_LOGGER: Final = logging.getLogger(__name__)
_PROGRAM: Final = (
    "import sys; sys.path[:] = {path!r}; from transforms.images.decoder_server import main; main({control}, {memory})"
)

# Deaths over the same files before the run ends: more than its pictures can cause (`loading.MOST_DEATHS`).
_MOST_DEATHS: Final = 64

# Processes in a row that die before they say that they are ready, before threads take over.
_MOST_FALSE_STARTS: Final = 3

T = TypeVar("T")


class AnyDecoder(Protocol):
    """A decoder in this process or in another; see `Decoder`."""

    def read(self, files: Sequence[LocalFile], max_bytes: int) -> list[Content | None]:
        """Reads files of this machine."""
        ...

    def decode(self, files: Sequence[Undecoded], task: DecodingTask) -> list[Decoded]:
        """Decodes files into memory."""
        ...


class DecoderDied(Exception):
    """A decoder process has died; all that it held is lost.

    Attributes:
        picture: The picture that it was decoding, by its number in the message, and for how many seconds it had been.
    """

    def __init__(self, picture: tuple[int, float] | None) -> None:
        super().__init__(picture)
        self.picture = picture


class DecoderProcess:
    """A decoder in a process of its own; see `Decoder`. Raises `DecoderDied` if that dies."""

    def __init__(self, connection: Connection, journal: Journal) -> None:
        """Takes the pipe to the process, which has been forked, and says that it is ready when it is; its journal."""
        self._connection = connection
        self._journal = journal
        self.is_ready = False

    def read(self, files: Sequence[LocalFile], max_bytes: int) -> list[Content | None]:
        """Reads files of this machine; see `Decoder.read`."""
        contents: list[Content | None] = self._call("read", files, max_bytes)
        return contents

    def decode(self, files: Sequence[Undecoded], task: DecodingTask) -> list[Decoded]:
        """Decodes files into memory; see `Decoder.decode`."""
        decoded: list[Decoded] = self._call("decode", files, task)
        return decoded

    def _call(self, method: str, *arguments: object) -> Any:
        try:
            if not self.is_ready:
                self.is_ready = self._connection.recv() == READY
            self._connection.send((method, arguments))
            answer = self._connection.recv()
        except (EOFError, OSError) as error:
            raise DecoderDied(self._journal.picture()) from error
        if isinstance(answer, Exception):
            raise answer
        return answer


class _Server:
    """The process that forks decoder processes."""

    def __init__(self, memory: PixelMemory) -> None:
        self._memory = memory
        self._lock = threading.Lock()
        self._start()

    def _start(self) -> None:
        self._control, theirs = socket.socketpair()
        fds = (theirs.fileno(), self._memory.fd)
        program = _PROGRAM.format(path=sys.path, control=fds[0], memory=fds[1])
        with theirs, undisturbed():
            self._process = subprocess.Popen(  # noqa: S603 (our own program)
                [sys.executable, "-c", program],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},  # Threads do not survive a fork.
                pass_fds=fds,
            )

    def fork(self) -> DecoderProcess:
        """Returns a new decoder process.

        Raises:
            OSError: If none can be started.
        """
        ours, theirs = multiprocessing.Pipe()
        offset, page = self._memory.take(Journal.SHAPE)
        journal = Journal(page)
        journal.end()
        with self._lock, theirs:
            try:
                ask_for_fork(self._control, theirs.fileno(), offset)
            except OSError:
                self._start()
                ask_for_fork(self._control, theirs.fileno(), offset)
        return DecoderProcess(ours, journal)


class DecoderPool:
    """Decoders, each of which works for one caller at a time.

    Attributes:
        memory: Where pictures go.
        size: How many decoders there are.
        in_processes: Whether they are processes.
    """

    def __init__(self, threads: int, processes: int) -> None:
        """Starts decoders, and does not wait for them.

        Args:
            threads: Decoders that are threads of this process, where there are no processes.
            processes: Decoders that are processes; 0 for none.
        """
        self.memory = PixelMemory()
        self._server: _Server | None = None
        self._false_starts = 0
        if processes:
            try:
                self.memory = PixelMemory.create()
                self._server = _Server(self.memory)
            except (OSError, ValueError) as error:
                _LOGGER.info("Decoding in threads: no decoder process can be started: %s", error)
        self.size = processes if self._server else threads
        self._idle: queue.SimpleQueue[AnyDecoder] = queue.SimpleQueue()
        for _ in range(self.size):
            self._idle.put(self._start())
        self.threads = concurrent.futures.ThreadPoolExecutor(self.size, "decode")

    @property
    def in_processes(self) -> bool:
        """Whether the decoders are processes."""
        return self._server is not None

    def _start(self) -> AnyDecoder:
        if self._server is not None:
            try:
                return self._server.fork()
            except OSError as error:
                self._give_up(error)
        return Decoder(self.memory)

    def _give_up(self, reason: object) -> None:
        _LOGGER.info("Decoding in threads: decoder processes do not start: %s", reason)
        self._server = None

    def run(self, work: Callable[[AnyDecoder], T]) -> T:
        """Does work with a decoder that is idle, or waits for one; does it again with another if the decoder dies.

        Raises:
            RunFailed: If decoders die of it repeatedly.
        """
        decoder = self._idle.get()
        try:
            for _ in range(_MOST_DEATHS):
                try:
                    return work(decoder)
                except DecoderDied:
                    decoder = self._replaced(decoder)
        finally:
            self._idle.put(decoder)
        raise RunFailed(f"Processes that decode have died {_MOST_DEATHS} times in a row over the same pictures.")

    def _replaced(self, dead: AnyDecoder) -> AnyDecoder:
        ready = isinstance(dead, DecoderProcess) and dead.is_ready
        self._false_starts = 0 if ready else self._false_starts + 1
        if self._false_starts == _MOST_FALSE_STARTS:
            self._give_up("they end before they are ready")
        return self._start()
