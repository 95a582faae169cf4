"""The program of decoder processes: a server that forks them, and what each of them does until its pipe closes.

The server imports the decoder and nothing else, so that a process takes milliseconds to start and shares its pages with
the others. The process that asks holds the other ends of all pipes: when it ends, they end.
"""

import gc
import os
import signal
import socket
import warnings
from multiprocessing.connection import Connection
from typing import Final

from transforms.images.decoder import Decoder
from transforms.images.pixel_memory import PixelMemory

READY: Final = "ready"


def main(control_fd: int, memory_fd: int) -> None:
    """Forks a decoder process for each pipe that comes through a socket, until that closes.

    Args:
        control_fd: The socket.
        memory_fd: The file in memory in which pictures are decoded.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asks.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # No process waits for those that end.
    # Pillow warns of every oddity in a file; what matters becomes a row in `failures`.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    gc.freeze()
    memory = PixelMemory(memory_fd)
    with socket.socket(fileno=control_fd) as control:
        while pipes := socket.recv_fds(control, 1, 1)[1]:
            if os.fork() == 0:
                control.close()
                serve(Connection(pipes[0]), Decoder(memory))
                os._exit(0)
            os.close(pipes[0])


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
