"""Loaders: batches of a scan's rows for training elsewhere, in shuffled windows of row groups, shared by processes."""

from schemas.loaders.batches import RowBatches
from schemas.loaders.frameworks import hugging_face_rows, jax_batches, tensorflow_batches, tf_dataset
from schemas.loaders.order import BatchOrder, Reader
from schemas.loaders.windows import batches_of, packed, rows_by_group

__all__ = [
    "BatchOrder",
    "Reader",
    "RowBatches",
    "batches_of",
    "hugging_face_rows",
    "jax_batches",
    "packed",
    "rows_by_group",
    "tensorflow_batches",
    "tf_dataset",
]
