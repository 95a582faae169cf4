"""Work on several threads: mapping ahead of whoever takes the results, and products of matrices in one thread each."""

from schemas.threads.blas import one_blas_thread
from schemas.threads.mapping import bounded_map

__all__ = ["bounded_map", "one_blas_thread"]
