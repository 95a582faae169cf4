"""Toxiproxy on loopback, through which answers come late, as those of a server far away."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import requests

from tests.support.built_tools import find_built
from tests.support.s3_servers import free_port, wait_for


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
    command = [str(find_built("toxiproxy", "TOXIPROXY", "toxiproxy-server")), "-host=127.0.0.1", f"-port={control}"]
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
