"""Files written again with some of their rows: a file that was written once is never changed."""

import collections

from schemas.errors import FailureCode
from schemas.fragments import Fragment, FragmentWriter, TableName
from schemas.merging import Keep, read_batches, read_schema
from schemas.storage import join


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
    source_uri = join(table_uri, path)
    with FragmentWriter(table_uri, name, new_path, read_schema(source_uri)) as writer:
        for batch in read_batches(source_uri):
            kept = batch.filter(keep(batch))
            if name == TableName.FAILURES:
                codes.update(kept.column("code").to_pylist())
            writer.write(kept)
    by_code = tuple((FailureCode.from_code(code), count) for code, count in codes.items())
    return writer.fragment(failures_by_code=by_code)
