"""Toxiproxy on loopback, through which answers come late, as those of a server far away."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from tests.support.s3_servers import free_port, wait_for

_BINARY = "TOXIPROXY"


def find_toxiproxy() -> Path:
    """Returns the binary of Toxiproxy, or skips the test."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    built = cache / "convbase" / "bin" / "toxiproxy"  # where `make toxiproxy` puts it
    found = os.environ.get(_BINARY) or shutil.which("toxiproxy-server") or (built if built.exists() else None)
    if not found:
        pytest.skip(f"needs Toxiproxy (make toxiproxy, or {_BINARY}=PATH), which is absent")
    return Path(found)


@contextmanager
def slow_proxy(endpoint: str, seconds: float) -> Iterator[str]:
    """Runs a proxy to a server on loopback.

    Args:
        endpoint: The server's address, such as `http://127.0.0.1:7070`.
        seconds: How much later answers come, to the millisecond.

    Yields:
        The proxy's address.
    """
    control, port = free_port(), free_port()
    command = [str(find_toxiproxy()), "-host=127.0.0.1", f"-port={control}"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(control, process)
            proxies = f"http://127.0.0.1:{control}/proxies"
            proxy = {"name": "far", "listen": f"127.0.0.1:{port}", "upstream": endpoint.removeprefix("http://")}
            latency = {"type": "latency", "stream": "downstream", "attributes": {"latency": round(1000 * seconds)}}
            for url, asked in ((proxies, proxy), (f"{proxies}/far/toxics", latency)):
                requests.post(url, json=asked, timeout=10).raise_for_status()
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
