"""nginx on loopback, as Debian has it: a web server of files whose folders are pages of links."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.s3_servers import free_port, wait_for

_CONFIGURATION = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/errors;
events {{}}
http {{
    access_log off; sendfile on;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    server {{ listen 127.0.0.1:{port}; root {root}; autoindex on; disable_symlinks off; }}
}}
"""


@contextmanager
def nginx(folder: Path, root: Path) -> Iterator[str]:
    """Runs nginx, or skips where it is not installed.

    Args:
        folder: Where it may write.
        root: The folder that it serves.

    Yields:
        Its address.
    """
    found = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/bin")
    if found is None:
        pytest.skip("needs nginx (of Debian), which is absent")
    folder.mkdir(parents=True)
    port = free_port()
    (folder / "nginx.conf").write_text(_CONFIGURATION.format(folder=folder, root=root, port=port))
    command = [found, "-p", str(folder), "-c", str(folder / "nginx.conf")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(port, process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
