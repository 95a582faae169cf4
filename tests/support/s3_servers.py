"""S3 servers on loopback: versitygw, in Go, whose buckets are folders of this machine; and one that only lists."""

import bisect
import socket
import subprocess
import time
import urllib.parse
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from xml.sax.saxutils import escape

from tests.support.built_tools import find_built
from tests.support.servers import s3_environment
from tests.support.web import Answer, Asked

_SECONDS_TO_START = 20
KEY, SECRET = "testing", "testing"


@contextmanager
def versitygw(folder: Path, region: str = "us-east-1") -> Iterator[str]:
    """Runs versitygw with an empty bucket, and points fsspec, obstore, deltalake and children to it.

    Args:
        folder: Where its buckets are folders.
        region: The region that it is in.

    Yields:
        The bucket.
    """
    import boto3

    port = free_port()
    buckets, attributes = folder / "buckets", folder / "attributes"
    for made in (buckets, attributes):
        made.mkdir(parents=True)
    command = [
        str(find_built("versitygw", "VERSITYGW", "versitygw")),
        f"--access={KEY}", f"--secret={SECRET}", f"--region={region}",
        f"--port=127.0.0.1:{port}", "--quiet", "posix", f"--sidecar={attributes}", str(buckets),
    ]  # fmt: skip
    bucket = f"bucket-{uuid.uuid4()}"
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            wait_for(port, process)
            with s3_environment(f"http://127.0.0.1:{port}"):
                boto3.client("s3", region_name=region).create_bucket(Bucket=bucket)
                yield bucket
        finally:
            process.terminate()


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    """Waits until a server that was started listens.

    Raises:
        RuntimeError: If it does not.
    """
    deadline = time.monotonic() + _SECONDS_TO_START
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"The server does not listen (it ended with {process.poll()}).")


def free_port() -> int:
    """Returns a port of loopback on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def listed_keys(keys: Sequence[str], keys_per_page: int = 1000) -> Callable[[Asked], Answer]:
    """Returns the site of an S3 server that lists keys, a page at a time: of one byte, those of folders of none.

    Args:
        keys: The keys, in order.
        keys_per_page: How many it answers at once.
    """

    def site(asked: Asked) -> Answer:
        path, _, query = asked.path.partition("?")
        given = dict(urllib.parse.parse_qsl(query))
        if "list-type" not in given:
            key = urllib.parse.unquote(path).partition("/")[2].partition("/")[2]
            at = bisect.bisect_left(keys, key)
            is_there = at < len(keys) and keys[at] == key
            return Answer(b"x", headers=_OBJECT) if is_there else Answer(_NO_SUCH_KEY, 404)
        return Answer(_page(keys, given, keys_per_page).encode(), headers={"Content-Type": "application/xml"})

    return site


_OBJECT = {"ETag": '"1"', "Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT"}
_NO_SUCH_KEY = b"<Error><Code>NoSuchKey</Code><Message>None</Message></Error>"
_CONTENTS = (
    "<Contents><Key>{}</Key><LastModified>2015-10-21T07:28:00.000Z</LastModified><ETag>&quot;1&quot;</ETag>"
    "<Size>{}</Size></Contents>"
)


def _page(keys: Sequence[str], given: dict[str, str], keys_per_page: int) -> str:
    prefix, delimiter = given.get("prefix", ""), given.get("delimiter", "")
    after = given.get("continuation-token") or given.get("start-after", "")
    at = max(bisect.bisect_left(keys, prefix), bisect.bisect_right(keys, after))
    found: list[str] = []
    last = after
    while at < len(keys) and keys[at].startswith(prefix) and len(found) < keys_per_page:
        below = keys[at][len(prefix) :]
        if delimiter and delimiter in below:
            folder = prefix + below.partition(delimiter)[0] + delimiter
            found.append(f"<CommonPrefixes><Prefix>{escape(folder)}</Prefix></CommonPrefixes>")
            last = folder + "\U0010ffff"
            at = bisect.bisect_right(keys, last)
        else:
            found.append(_CONTENTS.format(escape(keys[at]), 0 if keys[at].endswith("/") else 1))
            last = keys[at]
            at += 1
    is_cut = at < len(keys) and keys[at].startswith(prefix)
    token = f"<NextContinuationToken>{escape(last)}</NextContinuationToken>" if is_cut else ""
    return (
        "<?xml version='1.0'?><ListBucketResult><Name>bucket</Name>"
        f"<IsTruncated>{str(is_cut).lower()}</IsTruncated>{token}{''.join(found)}</ListBucketResult>"
    )
