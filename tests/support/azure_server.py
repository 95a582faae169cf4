"""Azurite on loopback: Microsoft's own emulator of Azure's Blob Storage."""

import base64
import os
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.s3_servers import free_port, wait_for

_BINARY = "AZURITE"
VERSION = "azurite-3.37.0"
ACCOUNT, KEY = "testing", base64.b64encode(b"a key of tests").decode()


def find_azurite() -> list[str]:
    """Returns the command of Azurite's Blob Storage, or skips the test."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    made = cache / "convbase" / "bin" / VERSION / "node_modules" / ".bin"  # by `make azurite`
    if os.environ.get(_BINARY):
        return [os.environ[_BINARY]]
    if not (made / "azurite-blob").exists():
        pytest.skip(f"needs Azurite (make azurite, or {_BINARY}=PATH), which is absent")
    return [str(made / "node"), str(made / "azurite-blob")]


@contextmanager
def azure_environment(endpoint: str) -> Iterator[None]:
    """Points adlfs, obstore, deltalake and children to a server of Azure's Blob Storage.

    Args:
        endpoint: Its address, with the account.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AZURE_")]:
            patch.delenv(name)
        patch.setenv(
            "AZURE_STORAGE_CONNECTION_STRING",
            f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={endpoint};",
        )
        _forget_connections()
        yield
    _forget_connections()


def _forget_connections() -> None:
    """Lets adlfs connect again: its file systems are kept by their options, which do not have the environment."""
    import adlfs

    adlfs.AzureBlobFileSystem.clear_instance_cache()


@contextmanager
def azurite(folder: Path) -> Iterator[str]:
    """Runs Azurite with an empty container, and points adlfs, obstore, deltalake and children to it.

    Args:
        folder: Where it may write.

    Yields:
        The container.
    """
    import fsspec

    port = free_port()
    command = [
        *find_azurite(), "--blobHost=127.0.0.1", f"--blobPort={port}", f"--location={folder}", "--silent",
        "--skipApiVersionCheck", "--disableTelemetry",
    ]  # fmt: skip
    environment = {**os.environ, "AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}"}
    container = f"container-{uuid.uuid4()}"
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment) as process:
        try:
            wait_for(port, process)
            with azure_environment(f"http://127.0.0.1:{port}/{ACCOUNT}"):
                fsspec.filesystem("abfs").mkdir(container)
                yield container
        finally:
            process.terminate()
