"""Fetching the bytes of an image. Pure of Beam: a ref in, bytes out, or an `ImageError`."""

import errno
import random
import time
from typing import Final

from schemas.errors import FailureCode, ImageError
from schemas.images import ImageRef
from schemas.storage import http_errors, http_status
from transforms.sources import image_file

# The machine is at its limit, not the image at fault: the run has to stop.
_SYSTEM_ERRNOS: Final = frozenset({errno.ENOSPC, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EDQUOT})

# Storage that is at fault may recover. s3fs and gcsfs try again by themselves, most file systems do not.
_ATTEMPTS: Final = 4
_FIRST_PAUSE_SECONDS: Final = 0.2
_MAY_PASS: Final = frozenset({FailureCode.TIMEOUT, FailureCode.UNREADABLE})


def fetch_image(ref: ImageRef, max_bytes: int) -> bytes:
    """Reads an image file whole, trying again after longer and longer pauses where the storage is at fault.

    Args:
        ref: The image.
        max_bytes: The most bytes that are read; checked before reading.

    Raises:
        ImageError: If the file is missing, too large, or cannot be read.
        OSError: If the machine, not the file, is at fault (no memory, no file handles).
    """
    for attempt in range(1, _ATTEMPTS):
        try:
            return _fetch_once(ref, max_bytes)
        except ImageError as error:
            if error.code not in _MAY_PASS:
                raise
            time.sleep(random.uniform(0.5, 1) * _FIRST_PAUSE_SECONDS * 2 ** (attempt - 1))  # noqa: S311 (no secret)
    return _fetch_once(ref, max_bytes)


def _fetch_once(ref: ImageRef, max_bytes: int) -> bytes:
    try:
        return _read(ref, max_bytes)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise ImageError(FailureCode.NOT_FOUND, f"There is no such file: {error}") from error
    except PermissionError as error:
        raise ImageError(FailureCode.PERMISSION_DENIED, f"The file may not be read: {error}") from error
    except TimeoutError as error:
        raise ImageError(FailureCode.TIMEOUT, f"The file could not be read in time: {error}") from error
    except OSError as error:
        if error.errno in _SYSTEM_ERRNOS:
            raise
        raise ImageError(FailureCode.UNREADABLE, f"The file could not be read: {error}") from error
    except http_errors() as error:
        code = FailureCode.PERMISSION_DENIED if http_status(error) in {401, 403} else FailureCode.UNREADABLE
        raise ImageError(code, f"The file could not be read: {error}") from error


def _read(ref: ImageRef, max_bytes: int) -> bytes:
    fs, path = image_file(ref.uri, ref.problem)
    size = fs.size(path) if ref.size is None else ref.size
    if size is not None and size > max_bytes:
        raise ImageError(FailureCode.TOO_MANY_BYTES, f"The file has {size:,} bytes, the limit is {max_bytes:,}.")
    content = bytes(fs.cat_file(path))
    # A connection that breaks off may look like the end of the file.
    if size is not None and len(content) < size:
        raise ImageError(
            FailureCode.UNREADABLE,
            f"The file has {size:,} bytes, {len(content):,} were read: it broke off.",
        )
    return content
