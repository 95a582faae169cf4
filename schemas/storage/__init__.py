"""URIs and file systems: credentials, timeouts, Parquet files, files that are durable or created only once."""

from schemas.storage.durable import make_folder, rename_folder, sync_file, write_file
from schemas.storage.faults import image_errors, with_retries
from schemas.storage.filesystems import (
    canonical_uri,
    check_writable,
    delta_location,
    delta_storage_options,
    file_system,
    files_below,
    is_in_a_bucket,
    is_local,
    is_on_the_web,
    join,
    modified_at,
    protocol_of,
    uri_builder,
    without_credentials,
    without_query,
)
from schemas.storage.image_files import image_file
from schemas.storage.parquet import (
    ROW_GROUP_BYTES,
    open_parquet,
    read_batches,
    read_column,
    read_columns,
    read_keys,
    read_rows,
    read_schema,
    row_count,
)
from schemas.storage.put_if_absent import check_created_once

__all__ = [
    "ROW_GROUP_BYTES",
    "canonical_uri",
    "check_created_once",
    "check_writable",
    "delta_location",
    "delta_storage_options",
    "file_system",
    "files_below",
    "image_errors",
    "image_file",
    "is_in_a_bucket",
    "is_local",
    "is_on_the_web",
    "join",
    "make_folder",
    "modified_at",
    "open_parquet",
    "protocol_of",
    "read_batches",
    "read_column",
    "read_columns",
    "read_keys",
    "read_rows",
    "read_schema",
    "rename_folder",
    "row_count",
    "sync_file",
    "uri_builder",
    "with_retries",
    "without_credentials",
    "without_query",
    "write_file",
]
