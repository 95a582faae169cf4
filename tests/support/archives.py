"""Archives drawn by code: small ones of every kind, whole and broken."""

import io
import os
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path


def write_zip(path: Path, members: Mapping[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    """Writes a ZIP archive, its names as they are given."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, compression)
    return path


def write_tar(path: Path, members: Mapping[str, bytes], mode: str | None = None) -> Path:
    """Writes a tar, compressed as its name says."""
    mode = mode or ("w:gz" if path.name.endswith(("gz", "tgz")) else "w")
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload] (a mode by its name)
        for name, data in members.items():
            add(archive, name, data)
    return path


def add(archive: tarfile.TarFile, name: str, data: bytes = b"", **fields: object) -> None:
    """Adds a member whose header has some fields."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for field, value in fields.items():
        setattr(info, field, value)
    archive.addfile(info, io.BytesIO(data))


def noise(count: int, size: int = 5000) -> dict[str, bytes]:
    """Members that do not compress."""
    return {f"{number:05}.jpg": os.urandom(size) for number in range(count)}
