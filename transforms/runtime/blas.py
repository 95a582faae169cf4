"""How many threads NumPy's and SciPy's linear algebra takes."""

import contextlib
from collections.abc import Iterator

from schemas.threads import one_blas_thread


@contextlib.contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Lets each product of matrices take one thread meanwhile.

    For many products of some milliseconds: OpenBLAS's threads wait for each other by spinning, so that on a machine
    that does something else besides each product takes as long as the other's time slice. Threads of one's own, each
    with a product of its own, do not wait. To enter and leave takes a millisecond.
    """
    import scipy.linalg  # noqa: F401 - SciPy has an OpenBLAS of its own, which has to be there to be found.

    with one_blas_thread():
        yield
