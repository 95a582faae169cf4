"""Where manifests may point is the same of many URIs at once as of each by itself, and so are secrets in texts."""

import pyarrow as pa
import pytest

from schemas.uris import AllowedSources, bare_uri
from tests.unit.schemas.uris.test_allowed_sources import BUCKET, BY_ITSELF, INPUTS, INTRANET, LOCAL, NAMED, WEB
from transforms.manifests import allowed
from transforms.manifests.allowed import refused_rows
from transforms.manifests.uris import bare_uris, canonical_uris

POLICIES = (
    AllowedSources(),
    *(AllowedSources((), (named,)) for named, *_ in NAMED),
    *(AllowedSources((given,)) for given, *_ in INPUTS),
    AllowedSources((), ("only", "https://images.example.com/")),
    AllowedSources((), ("only", "http://10.0.0.5/pics/", "file:///data/")),
)
URIS = (
    *(uri for _, uri, _ in BY_ITSELF),
    *(uri for *_, first, second in (*NAMED, *INPUTS) for uri in (first, second) if uri),
    "https://example.com", "https://example.com?w=1", "https://example.com#a", "https://images.example.com/a.jpg",
    "https://example.com.evil.example/a.jpg", "https://user@10.0.0.1/a.jpg", "http:///a.jpg", "http://", "https://[bad/a",
    "https://host\\@10.0.0.1/a.jpg", "HTTP://10.0.0.1/a.jpg", "https://a\nb/c.jpg", "ftp://h/a.jpg",
)  # fmt: skip
MANY_HOSTS = tuple(f"http://{'10.0.0.' if number % 3 else 'host-'}{number}/a.jpg" for number in range(40))


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: ",".join((*policy.inputs, *policy.named)) or "none")
@pytest.mark.parametrize("manifest", [LOCAL, BUCKET, WEB, INTRANET])
def test_many_uris_are_judged_as_each_by_itself(manifest: str, policy: AllowedSources) -> None:
    for uris in (URIS, MANY_HOSTS, (*MANY_HOSTS, *URIS), URIS[:1], MANY_HOSTS[:1] * 3):
        texts = pa.array(["x", *uris]).slice(1)
        found = refused_rows(texts, texts, manifest, policy)
        expected = [allowed._refusal(uri, uri, manifest, policy) for uri in uris]
        assert (found.to_pylist() if found is not None else [None] * len(uris)) == expected


@pytest.mark.parametrize("written", ["local:///etc/a.jpg", "LOCAL:///etc/a.jpg", "Local://a.jpg"])
def test_what_was_written_as_local_has_to_be_named(written: str) -> None:
    uris = pa.array(["file:///lists/lions.jpg", "file:///etc/a.jpg"])
    texts = pa.array(["lions.jpg", written])
    found = refused_rows(uris, texts, LOCAL, AllowedSources())
    assert found is not None
    first, second = found.to_pylist()
    assert first is None
    assert "--allowed_sources=local: would allow it" in second
    assert refused_rows(uris, texts, LOCAL, AllowedSources((), ("local:",))) is None
    assert refused_rows(uris, pa.array(["lions.jpg", "a.jpg"]), LOCAL, AllowedSources()) is None


TEXTS = (
    "https://host/a.jpg?sig=x", "https://user:password@host/a.jpg", "https://host/r?u=https%3A%2F%2Fb%2Fc%3Fsig%3Dx",
    "https://host/r?u=https%3a%2f%2fb%2fc%3fsig%3dx", "https://host/a.jpg", "https://host/a%20b.jpg", "", None,
)  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
def test_a_secret_is_found_among_texts_without_any(text: str | None) -> None:
    texts = pa.array(["https://host/?sig=1", *["plain"] * 3, text, "plain", "https://host/?sig=1"]).slice(1, 5)
    bare = bare_uris(texts)
    assert bare.to_pylist() == ["plain"] * 3 + [text and bare_uri(text)] + ["plain"]
    assert (bare is texts) == (text in {*TEXTS[4:]})
    assert bare_uris(texts.slice(0, 0)).to_pylist() == []
    assert bare_uris(pa.nulls(2, pa.string())).to_pylist() == [None, None]


ALIKE = (
    ("file:///a/b.jpg", "file:///a/.b.jpg", "file:///a//b.jpg", "file:////a.jpg", "file:///", "file:///a/../b", "file:///a/."),
    ("s3://a/b.jpg", "s3:///b.jpg", "s3://", "s3://a//b", "s3://a/../b"),
    ("https://h/a.jpg", "https:///a.jpg", "https://", "https://h//a/./b", "https://h"),
    ("http://h/a.jpg", "https://h/a.jpg", "a.jpg", "/a.jpg", "", None),
)  # fmt: skip


@pytest.mark.parametrize("others", ALIKE, ids=lambda others: others[0])
def test_uris_that_begin_alike_are_the_canonical_ones_of_each_by_itself(others: tuple[str | None, ...]) -> None:
    for other in others:
        texts = pa.array(["x", others[0], other, others[0]]).slice(1)
        expected = [canonical_uris(texts.slice(row, 1), LOCAL)[0].as_py() for row in range(3)]
        assert canonical_uris(texts, LOCAL).to_pylist() == expected
        by_patterns = canonical_uris(pa.array(["gs://b/1", other]), LOCAL)[1].as_py()
        assert by_patterns == expected[1]
