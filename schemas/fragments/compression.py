"""Which columns of a Parquet file are compressed: all of them, except features that hardly become smaller by it.

Averages of feature maps have few zeros, and compression makes them a tenth or a fifth smaller; unpacking them takes
longer than everything else that a search does. Maps as a ReLU leaves them are half zeros.
"""

import io
from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.tables import feature_shape

_ZSTANDARD: Final = "zstd"
_FASTEST: Final = 1
# The share of its bytes that compression has to save of a feature column.
_LEAST_SAVING: Final = 0.25
_SAMPLED_FLOATS: Final = 2**18


def compression_options(schema: pa.Schema, first_rows: Sequence[pa.RecordBatch]) -> dict[str, dict[str, Any]]:
    """Returns the options of `pyarrow.parquet.ParquetWriter` by which a file is compressed.

    Args:
        schema: The file's schema.
        first_rows: The first rows of the file, which tell how small features become.
    """
    features = [field.name for field in schema if feature_shape(field)]
    left = {f"{name}.list.element" for name in features if first_rows and not _pays(first_rows[0].column(name))}
    compressed = [path for path in _paths(schema) if path not in left]
    return {
        "compression": {**dict.fromkeys(left, "none"), **dict.fromkeys(compressed, _ZSTANDARD)},
        "compression_level": dict.fromkeys(compressed, _FASTEST),
    }


def _pays(features: pa.Array) -> bool:
    """Whether compression saves enough of features."""
    floats = features.flatten().slice(0, _SAMPLED_FLOATS).to_numpy(zero_copy_only=False)
    packed = pa.Codec(_ZSTANDARD, _FASTEST).compress(floats.tobytes())
    return bool(packed.size <= (1 - _LEAST_SAVING) * floats.nbytes)


def _paths(schema: pa.Schema) -> list[str]:
    """Returns the paths of the columns of a Parquet file with a schema."""
    file = io.BytesIO()
    pq.write_table(schema.empty_table(), file)
    columns = pq.ParquetFile(file).schema
    return [columns.column(number).path for number in range(len(columns))]
