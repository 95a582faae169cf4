"""Versions of images that their source does not tell: looked up in the file system, many at once."""

import concurrent.futures
from collections.abc import Mapping
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from schemas.errors import ImageError
from schemas.images import SIZE, image_version
from schemas.storage import image_file, with_retries

_THREADS: Final = 32


def look_up_versions(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Fills in the version and size of the images whose version is null, from their file systems.

    An image of which nothing can be learned gets an empty version; fetching it will say why.

    Raises:
        OSError: If the machine is at its limit.
    """
    missing = pc.is_null(batch.column("version"))
    if not pc.any(missing).as_py():
        return batch
    uris = pc.filter(batch.column("uri"), missing).to_pylist()
    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        infos = list(pool.map(_info, uris))
    found = {
        "version": pa.array([image_version(info) for info in infos], pa.string()),
        SIZE: pa.array([info.get("size") for info in infos], pa.int64()),
    }
    for name, values in found.items():
        index = batch.schema.get_field_index(name)
        filled = pc.replace_with_mask(batch.column(index), missing, values)
        batch = batch.set_column(index, batch.schema.field(index), filled)
    return batch


def _info(uri: str) -> Mapping[str, Any]:
    def look_up() -> Mapping[str, Any]:
        fs, path = image_file(uri)
        info: Mapping[str, Any] = fs.info(path)
        return info

    try:
        return with_retries(look_up)
    except ImageError:
        return {}
