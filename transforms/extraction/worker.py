"""What the threads of a worker process share: one conv base, what loads pictures, the contents known."""

import threading
from collections.abc import Callable

from schemas.store import KnownContents
from transforms.conv_bases import Engine
from transforms.images import LoadingPools


class Worker:
    """What the threads of a worker process share.

    Attributes:
        engine: Runs the network.
        pools: Load pictures.
    """

    def __init__(self, engine: Engine, pools: LoadingPools) -> None:
        """Takes what was started.

        Args:
            engine: Runs the network.
            pools: Load pictures.
        """
        self.engine = engine
        self.pools = pools
        self._lock = threading.Lock()
        self._contents = ("", KnownContents())

    def known_contents(self, run: str, read: Callable[[], KnownContents]) -> KnownContents:
        """Returns the contents that are known to a run; they are read once a run and process.

        Args:
            run: The run by its name and attempt: files of an earlier attempt may be gone.
            read: Reads them.
        """
        with self._lock:
            if self._contents[0] != run:
                self._contents = (run, read())
            return self._contents[1]
