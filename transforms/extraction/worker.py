"""What the threads of a worker process share: one conv base, the threads that load pictures, the contents known."""

import threading
from collections.abc import Callable

from schemas.store import KnownContents
from transforms.conv_bases import Engine
from transforms.images import LoadingPools
from transforms.runtime import available_cores


class Worker:
    """What the threads of a worker process share.

    Attributes:
        engine: Runs the network.
        pools: Load pictures.
    """

    def __init__(self, engine: Engine, threads: int | None = None) -> None:
        """Starts the threads.

        Args:
            engine: Runs the network.
            threads: Threads that decode; every core that the process may use unless told.
        """
        self.engine = engine
        self.pools = LoadingPools.start(threads or available_cores())
        self._lock = threading.Lock()
        self._contents = ("", KnownContents())

    def known_contents(self, run_id: str, read: Callable[[], KnownContents]) -> KnownContents:
        """Returns the contents that are known to a run; they are read once a run and process."""
        with self._lock:
            if self._contents[0] != run_id:
                self._contents = (run_id, read())
            return self._contents[1]
