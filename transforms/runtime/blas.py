"""How many threads NumPy's and SciPy's linear algebra takes."""

import contextlib
import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import threadpoolctl


@contextlib.contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Lets each product of matrices take one thread meanwhile.

    For many products of some milliseconds: OpenBLAS's threads wait for each other by spinning, so that on a machine
    that does something else besides each product takes as long as the other's time slice. Threads of one's own, each
    with a product of its own, do not wait. To enter and leave takes a millisecond.
    """
    with _controller().limit(limits=1, user_api="blas"):
        yield


@functools.cache
def _controller() -> "threadpoolctl.ThreadpoolController":
    import scipy.linalg  # noqa: F401 - SciPy has an OpenBLAS of its own, which has to be there to be found.
    import threadpoolctl  # Comes with scikit-learn.

    return threadpoolctl.ThreadpoolController()
