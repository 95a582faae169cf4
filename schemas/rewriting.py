"""Files written again with some of their rows: a file that was written once is never changed."""

import collections
from collections.abc import Callable

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.errors import FailureCode
from schemas.fragments import Fragment, FragmentWriter, TableName
from schemas.storage import file_system, join

Keep = Callable[[pa.RecordBatch], pa.Array]


def write_again(table_uri: str, name: TableName, path: str, new_path: str, keep: Keep) -> Fragment:
    """Writes some of a file's rows to another file; holds a row group or two in memory.

    Args:
        table_uri: The table's folder.
        name: The table.
        path: The file, under the folder.
        new_path: Where the rows go, under the folder; nobody else may ever write to it.
        keep: Given a batch of rows, says which of them are kept, as booleans. It sees the rows in the file's order.

    Returns:
        The new file, superseding nothing.
    """
    codes: collections.Counter[str] = collections.Counter()
    fs, source_path = file_system(join(table_uri, path))
    with fs.open(source_path, "rb") as file:
        source = pq.ParquetFile(file)
        with FragmentWriter(table_uri, name, new_path, source.schema_arrow) as writer:
            for batch in source.iter_batches():
                kept = batch.filter(keep(batch))
                if name == TableName.FAILURES:
                    codes.update(kept.column("code").to_pylist())
                writer.write(kept)
    by_code = tuple((FailureCode.from_code(code), count) for code, count in codes.items())
    return writer.fragment(failures_by_code=by_code)
