"""The program of decoder processes: a server that forks them, and what each of them does until its pipe closes.

The server imports the decoder and nothing else, so that a process takes milliseconds to start and shares its pages with
the others. The process that asks holds the other ends of all pipes: when it ends, they end.

A picture may take only so much memory and processor time. The first is an error of the picture; the second ends the
process, for no decoder can be stopped otherwise, and the journal says over which picture.
"""

import contextlib
import gc
import os
import signal
import socket
import time
import warnings
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

import numpy as np

from schemas.errors import FailureCode, ImageError
from transforms.images.decoder import Decoded, Decoder, DecodingTask, Undecoded
from transforms.images.pixel_memory import PixelMemory

READY: Final = "ready"

_OFFSET_BYTES: Final = 8
_NO_PICTURE: Final = -1


class Journal:
    """What a decoder process is doing, in memory that outlives it."""

    SHAPE: Final = (16,)

    def __init__(self, page: np.ndarray) -> None:
        """Takes the page.

        Args:
            page: uint8 [16], shared with the other process.
        """
        self._entry = page.view(np.int64)

    def begin(self, number: int) -> None:
        """Notes that a picture is being decoded, by its number in the message."""
        self._entry[:] = number, time.monotonic_ns()

    def end(self) -> None:
        """Notes that none is."""
        self._entry[:] = _NO_PICTURE, 0

    def picture(self) -> tuple[int, float] | None:
        """Returns the picture that is being decoded, and for how many seconds it has been; None if none is."""
        number, began = self._entry.tolist()
        return None if number == _NO_PICTURE else (number, (time.monotonic_ns() - began) / 1e9)


class LimitedDecoder(Decoder):
    """A decoder whose pictures may take only so much memory and processor time. Alone in its process."""

    def __init__(self, memory: PixelMemory, journal: Journal) -> None:
        """Begins without files.

        Args:
            memory: Where pictures go.
            journal: Where it notes what it does.
        """
        super().__init__(memory)
        self._journal = journal

    def decode(self, files: Sequence[Undecoded], task: DecodingTask) -> list[Decoded]:
        """Decodes files into memory; does not return if one takes too much time."""
        with _limited_memory(task.rules.limits.memory):
            decoded = [self._decode_limited(number, file, task) for number, file in enumerate(files)]
        signal.setitimer(signal.ITIMER_PROF, 0)
        self._journal.end()
        return decoded

    def _decode_limited(self, number: int, file: Undecoded, task: DecodingTask) -> Decoded:
        self._journal.begin(number)
        signal.setitimer(signal.ITIMER_PROF, task.rules.limits.timeout)
        started = time.perf_counter()
        try:
            return self.decode_one(file, task)
        except MemoryError:
            most = f"{task.rules.limits.memory:,}"
            error = ImageError(
                FailureCode.DECODER_OUT_OF_MEMORY, f"Decoding takes more than {most} bytes of memory (--decode_memory)."
            )
            return Decoded(error, time.perf_counter() - started)


@contextlib.contextmanager
def _limited_memory(most: int) -> Iterator[None]:
    """Lets this process allocate so many bytes more; shared memory, where pictures go, does not count."""
    import resource  # Which Windows lacks, where pictures are decoded in threads.

    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    pages = int(Path("/proc/self/statm").read_text().split()[5])
    limit = pages * resource.getpagesize() + most
    known = [bound for bound in (soft, hard, limit) if bound != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min(known), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def main(control_fd: int, memory_fd: int) -> None:
    """Forks a decoder process for each pipe that comes through a socket, with its journal's place, until that closes.

    Args:
        control_fd: The socket.
        memory_fd: The file in memory in which pictures are decoded.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # No process waits for those that end.
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # Ends a process whose picture takes too long.
    # Pillow warns of every oddity in a file; what matters becomes a row in `failures`.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    gc.freeze()
    memory = PixelMemory(memory_fd)
    with socket.socket(fileno=control_fd) as control:
        while (message := socket.recv_fds(control, _OFFSET_BYTES, 1))[1]:
            pipe = message[1][0]
            if os.fork() == 0:
                control.close()
                journal = Journal(memory.view(int.from_bytes(message[0]), Journal.SHAPE))
                serve(Connection(pipe), LimitedDecoder(memory, journal))
                os._exit(0)
            os.close(pipe)


def ask_for_fork(control: socket.socket, pipe: int, journal_offset: int) -> None:
    """Asks the server for a decoder process.

    Args:
        control: The other end of the server's socket.
        pipe: The end of the pipe that the process takes.
        journal_offset: Where its journal lies in the memory.

    Raises:
        OSError: If there is no server.
    """
    socket.send_fds(control, [journal_offset.to_bytes(_OFFSET_BYTES)], [pipe])


def serve(connection: Connection, decoder: Decoder) -> None:
    """Does what comes through a pipe, until that closes.

    A message is the name of a method of `Decoder` and its arguments; the answer is its result, or the error that it
    raised.
    """
    try:
        connection.send(READY)
        while True:
            method, arguments = connection.recv()
            try:
                answer = getattr(decoder, method)(*arguments)
            except Exception as error:  # noqa: BLE001 (it is raised where the message came from)
                answer = error
            connection.send(answer)
    except (EOFError, OSError):
        return
