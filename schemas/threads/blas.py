"""Matrix products of several threads, each in its own."""

import contextlib
import threading
from collections.abc import Iterator


class _Shared:
    """What those have in common that multiply now: the last of them to end restores what the first has found."""

    lock = threading.Lock()
    count = 0
    limited = contextlib.ExitStack()


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """Lets each product take one thread meanwhile, in the whole process.

    Threads of OpenBLAS's wait for each other by spinning, and take the processor from those that unpack.
    """
    import threadpoolctl

    with _Shared.lock:
        if not _Shared.count:
            _Shared.limited.enter_context(threadpoolctl.threadpool_limits(limits=1, user_api="blas"))
        _Shared.count += 1
    try:
        yield
    finally:
        with _Shared.lock:
            _Shared.count -= 1
            if not _Shared.count:
                _Shared.limited.close()
