"""Fetching the bytes of an image. Pure of Beam: a ref in, bytes out, or an `ImageError`."""

import errno
from typing import Final

from schemas.errors import FailureCode, ImageError
from schemas.images import ImageRef
from schemas.storage import file_system

# The machine is at its limit, not the image at fault: the run has to stop.
_SYSTEM_ERRNOS: Final = frozenset({errno.ENOSPC, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EDQUOT})


def fetch_image(ref: ImageRef, max_bytes: int) -> bytes:
    """Reads an image file whole.

    Args:
        ref: The image.
        max_bytes: The most bytes that are read; checked before reading.

    Raises:
        ImageError: If the file is missing, too large, or cannot be read.
        OSError: If the machine, not the file, is at fault (no memory, no file handles).
    """
    try:
        fs, path = file_system(ref.uri)
        size = fs.size(path) if ref.size is None else ref.size
        if size is not None and size > max_bytes:
            raise ImageError(FailureCode.TOO_MANY_BYTES, f"The file has {size:,} bytes, the limit is {max_bytes:,}.")
        return bytes(fs.cat_file(path))
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
