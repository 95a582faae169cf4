"""Where a manifest may point: by itself, beside which inputs, and by what the option names."""

import ipaddress
import pickle

import pytest

from schemas.uris import AllowedSources, Server, unknown_source

LOCAL = "file:///lists/m.csv"
BUCKET = "s3://lists/m.csv"
WEB = "https://lists.example/m.csv"
INTRANET = "http://10.0.0.5:8000/m.csv"

# manifest, image, words of the refusal; None where it is allowed.
BY_ITSELF = [
    (LOCAL, "file:///photos/a.jpg", None),
    (LOCAL, "file:///dev/shm/a.jpg", None),
    (LOCAL, "file:///procession/a.jpg", None),
    (LOCAL, "s3://bucket/a.jpg", None),
    (LOCAL, "gs://bucket/a.jpg", None),
    (LOCAL, "abfs://container@account.dfs.core.windows.net/a.jpg", None),
    (LOCAL, "https://example.com/a.jpg", None),
    (LOCAL, "http://8.8.8.8:8080/a.jpg", None),
    (LOCAL, "zip://a.jpg::file:///photos/a.zip", None),
    (LOCAL, "tar://a.jpg::s3://bucket/a.tar", None),
    (LOCAL, "parquet://image-0::https://example.com/a.parquet", None),
    (LOCAL, "http://127.0.0.1:99999/a.jpg", None),  # It is no URL, and says so itself.
    (LOCAL, "file:///proc/self/environ", "kernel"),
    (LOCAL, "file:///sys/class/net", "kernel"),
    (LOCAL, "file:///dev/zero", "kernel"),
    (LOCAL, "zip://a.jpg::file:///proc/self/fd/0", "kernel"),
    (LOCAL, "http://127.0.0.1/a.jpg", "127.0.0.1 is not public; --allowed_sources=http://127.0.0.1:80/ would"),
    (LOCAL, "https://[::1]:8443/a.jpg", "::1 is not public"),
    (LOCAL, "http://2852039166/latest/meta-data", "169.254.169.254 is not public"),
    (LOCAL, "http://user:password@169.254.169.254/latest", "169.254.169.254 is not public"),
    (LOCAL, "http://example.com@10.0.0.1/a.jpg", "10.0.0.1 is not public"),
    (LOCAL, "http://localhost/a.jpg", "localhost is a private name"),
    (LOCAL, "http://x.localhost./a.jpg", "x.localhost is a private name"),
    (LOCAL, "http://metadata.google.internal/computeMetadata", "private name"),
    (LOCAL, "zip://a.jpg::http://10.0.0.1/a.zip", "10.0.0.1 is not public"),
    (LOCAL, "simplecache::https://example.com/a.jpg", "chain of file systems; --allowed_sources=simplecache: would"),
    (LOCAL, "reference://::file:///a.json", "chain"),
    (LOCAL, "zip://a.jpg::zip://b.zip::file:///c.zip", "chain"),
    (LOCAL, "memory://a.jpg", "memory:"),
    (LOCAL, "sftp://host/a.jpg", "sftp:"),
    (BUCKET, "s3://lists/photos/a.jpg", None),
    (BUCKET, "https://example.com/a.jpg", None),
    (BUCKET, "s3://others/a.jpg", "another storage"),
    (BUCKET, "gs://lists/a.jpg", "another storage"),
    (BUCKET, "file:///etc/passwd", "not on this machine names a file of it; --allowed_sources=file:///etc/ would"),
    (BUCKET, "zip://a.jpg::file:///a.zip", "not on this machine"),
    (BUCKET, "http://127.0.0.1/a.jpg", "not public"),
    (WEB, "https://lists.example/a.jpg", None),
    (WEB, "http://example.com/a.jpg", None),
    (WEB, "file:///a.jpg", "not on this machine"),
    (WEB, "s3://bucket/a.jpg", "another storage"),
    (INTRANET, "http://10.0.0.5:8000/a.jpg", None),
    (INTRANET, "http://10.0.0.5/a.jpg", "10.0.0.5 is not public"),
    (INTRANET, "http://10.0.0.6:8000/a.jpg", "10.0.0.6 is not public"),
]

# What the option or another input names, the manifest, an image that it allows, one that it does not.
NAMED = [
    ("s3://others/photos/", BUCKET, "s3://others/photos/a.jpg", "s3://others/photos2/a.jpg"),
    ("s3a://others", BUCKET, "s3://others/a.jpg", "s3://others2/a.jpg"),
    ("file:///data/", BUCKET, "file:///data/x/a.jpg", "file:///database/a.jpg"),
    ("file:", BUCKET, "file:///data/a.jpg", "s3://others/a.jpg"),
    ("file:///proc/", LOCAL, "file:///proc/self/x", "file:///sys/x"),
    ("http://10.0.0.5:8000/", LOCAL, "http://10.0.0.5:8000/a.jpg", "http://10.0.0.5:8001/a.jpg"),
    ("http://10.0.0.5/pics/", LOCAL, "http://10.0.0.5/pics/a.jpg", "https://10.0.0.5/pics/a.jpg"),
    ("http://127.0.0.1:*/", LOCAL, "http://127.0.0.1:4321/a.jpg", "http://127.0.0.2:4321/a.jpg"),
    ("https://*.corp.internal/", LOCAL, "https://img.corp.internal/a.jpg", "https://corp.internal.evil.internal/a.jpg"),
    ("10.0.0.0/8", LOCAL, "http://10.9.8.7:1/a.jpg", "http://192.168.0.1/a.jpg"),
    ("fd00::/8", LOCAL, "http://[fd00::1]/a.jpg", "http://[fe80::1]/a.jpg"),
    ("memory:", LOCAL, "memory://a.jpg", "ftp://h/a.jpg"),
    ("simplecache:", LOCAL, "simplecache::https://example.com/a.jpg", "simplecache::http://10.0.0.1/a.jpg"),
    ("any", WEB, "simplecache::file:///proc/self/environ", None),
]
INPUTS = [
    ("s3://photos/train/", WEB, "s3://photos/b.jpg", "s3://others/b.jpg"),
    ("http://10.0.0.9/photos/", LOCAL, "http://10.0.0.9/b.jpg", "http://10.0.0.9:81/b.jpg"),
    ("file:///photos", WEB, "file:///photos/b.jpg", "file:///photos2/b.jpg"),
    ("file:///photos/*/x.jpg", WEB, "file:///photos/a/b.jpg", "file:///etc/b.jpg"),
    ("zip://train::s3://archives/a.zip", WEB, "s3://archives/b.jpg", "s3://others/b.jpg"),
]


@pytest.mark.parametrize(("manifest", "uri", "words"), BY_ITSELF)
def test_what_a_manifest_may_name_by_itself(manifest: str, uri: str, words: str | None) -> None:
    refusal = AllowedSources((manifest,)).refusal(uri, manifest)
    if words is None:
        assert refusal is None
    else:
        assert refusal is not None
        assert words in refusal
        assert "--allowed_sources=" in refusal
        assert "password" not in refusal


@pytest.mark.parametrize(("named", "manifest", "allowed", "refused"), NAMED)
def test_what_the_option_names_is_allowed_and_its_neighbour_is_not(
    named: str, manifest: str, allowed: str, refused: str | None
) -> None:
    assert unknown_source(named) is None
    sources = AllowedSources((manifest,), (named,))
    assert AllowedSources((manifest,)).refusal(allowed, manifest) is not None
    assert sources.refusal(allowed, manifest) is None
    assert refused is None or sources.refusal(refused, manifest) is not None


@pytest.mark.parametrize(("given", "manifest", "allowed", "refused"), INPUTS)
def test_the_storage_of_the_other_inputs_is_allowed(given: str, manifest: str, allowed: str, refused: str) -> None:
    sources = AllowedSources((manifest, given))
    assert AllowedSources((manifest,)).refusal(allowed, manifest) is not None
    assert sources.refusal(allowed, manifest) is None
    assert sources.refusal(refused, manifest) is not None


def test_the_remedy_that_is_named_is_one() -> None:
    for manifest, uri, words in BY_ITSELF:
        refusal = AllowedSources((manifest,)).refusal(uri, manifest)
        if words is not None and refusal is not None and "zip://b.zip" not in uri:
            remedy = refusal.partition("--allowed_sources=")[2].partition(" ")[0]
            assert AllowedSources((manifest,), (remedy,)).refusal(uri, manifest) is None, (uri, remedy)


def test_nothing_but_what_is_named_is_allowed_where_only_is_named() -> None:
    sources = AllowedSources((LOCAL,), ("only", "https://images.example.com/"))
    assert sources.refusal("https://images.example.com/a.jpg", LOCAL) is None
    for uri in ("https://example.com/a.jpg", "file:///photos/a.jpg", "s3://bucket/a.jpg", LOCAL):
        assert sources.refusal(uri, LOCAL) is not None


@pytest.mark.parametrize(
    ("named", "server", "address", "may"),
    [
        ((), Server("example.com", "80"), "8.8.8.8", True),
        ((), Server("rebound.example", "80"), "127.0.0.1", False),
        ((), Server("rebound.example", "80"), "::ffff:10.0.0.1", False),
        (("http://rebound.example/",), Server("rebound.example", "80"), "127.0.0.1", True),
        (("http://rebound.example/",), Server("rebound.example", "81"), "127.0.0.1", False),
        (("127.0.0.0/8",), Server("rebound.example", "81"), "127.0.0.1", True),
        (("any",), Server("rebound.example", "81"), "169.254.169.254", True),
    ],
)
def test_a_name_is_allowed_by_the_address_that_it_turns_out_to_have(
    named: tuple[str, ...], server: Server, address: str, may: bool
) -> None:
    refusal = AllowedSources((), named).refusal_of_address(server, ipaddress.ip_address(address))
    assert (refusal is None) == may
    assert may or f"has the address {ipaddress.ip_address(address)}, which is not public" in str(refusal)


@pytest.mark.parametrize("named", ["photos", "10.0.0.0/99", "s3:/bucket", "", "http://a/,b"])
def test_what_names_nothing_is_known(named: str) -> None:
    assert unknown_source(named) is not None


def test_they_travel_to_workers() -> None:
    sources = AllowedSources((INTRANET,), ("10.0.0.0/8",))
    assert sources.refusal("http://10.1.1.1/", LOCAL) is None
    assert pickle.loads(pickle.dumps(sources)) == sources
