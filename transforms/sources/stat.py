"""Versions of images that their source does not tell: looked up in the file system, many at once."""

import concurrent.futures
import functools
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from schemas.errors import ImageError
from schemas.images import LOCATION, PLACE, SIZE, image_version
from schemas.storage import ANYWHERE, Reach, image_file, in_time, member_uri, with_retries
from transforms.archives import find_member

_THREADS: Final = 32


class _Info(NamedTuple):
    version: str
    size: int | None = None
    place: str | None = None


def look_up_versions(batch: pa.RecordBatch, reach: Reach = ANYWHERE) -> pa.RecordBatch:
    """Fills in the version and size of the images whose version is null, from their file systems.

    An image of which nothing can be learned gets an empty version; fetching it will say why.

    Args:
        batch: Refs.
        reach: Which servers may be asked, and how long looking one image up may take.

    Raises:
        OSError: If the machine is at its limit.
    """
    missing = pc.is_null(batch.column("version"))
    if not pc.any(missing).as_py():
        return batch
    uris = pc.filter(pc.coalesce(batch.column(LOCATION), batch.column("uri")), missing).to_pylist()
    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        infos = list(pool.map(functools.partial(_info, reach=reach), uris))
    columns = list(zip(*infos, strict=True))
    found = {
        "version": pa.array(columns[0], pa.string()),
        SIZE: pa.array(columns[1], pa.int64()),
        PLACE: pa.array(columns[2], pa.string()),
    }
    for name, values in found.items():
        index = batch.schema.get_field_index(name)
        filled = pc.replace_with_mask(batch.column(index), missing, values)
        batch = batch.set_column(index, batch.schema.field(index), filled)
    return batch


def _info(uri: str, reach: Reach) -> _Info:
    def look_up() -> _Info:
        member = member_uri(uri)
        if member is not None:
            found = find_member(member)
            return _Info(found.version, found.size, found.place)
        fs, path = image_file(uri)
        info: Mapping[str, Any] = fs.info(path, **in_time(fs))
        return _Info(image_version(info), info.get("size"))

    try:
        return with_retries(look_up, reach)
    except ImageError:
        return _Info("")
