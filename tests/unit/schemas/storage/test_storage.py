"""URIs keep their names, and lose their credentials."""

from pathlib import Path

import pytest

from schemas.images import image_version
from schemas.storage import canonical_uri, file_system, without_secrets

HERE = Path.cwd()


@pytest.mark.parametrize(
    ("uri", "canonical"),
    [
        ("/data/a.jpg", "file:///data/a.jpg"),
        ("a.jpg", f"file://{HERE}/a.jpg"),
        ("./b/../a.jpg", f"file://{HERE}/a.jpg"),
        ("file:///data/a b#c?d%2Fe.jpg", "file:///data/a b#c?d%2Fe.jpg"),
        ("local:///data/a.jpg", "file:///data/a.jpg"),
        ("/data/two\nlines.jpg", "file:///data/two\nlines.jpg"),
        ("/data/a::b.jpg", "file:///data/a::b.jpg"),
        ("/data/e\u0301.jpg", "file:///data/e\u0301.jpg"),
        ("/data/\u00e9.jpg", "file:///data/\u00e9.jpg"),
        ("s3://bucket/a//b.jpg", "s3://bucket/a//b.jpg"),
        ("s3a://bucket/a.jpg", "s3://bucket/a.jpg"),
        ("zip://a.jpg::s3://bucket/a.zip", "zip://a.jpg::s3://bucket/a.zip"),
    ],
)
def test_canonical_uris(uri: str, canonical: str) -> None:
    assert canonical_uri(uri) == canonical
    assert canonical_uri(canonical) == canonical


def test_the_canonical_uri_leads_to_the_file(tmp_path: Path) -> None:
    for name in ("a b#c?d%2F.jpg", "a::b.jpg", "e\u0301.jpg", "\u00e9.jpg", "two\nlines.jpg", "[0].jpg"):
        (tmp_path / name).write_text(name)
        fs, path = file_system(canonical_uri(str(tmp_path / name)))
        assert fs.cat_file(path).decode() == name


@pytest.mark.parametrize(
    ("info", "version"),
    [
        ({"generation": "17", "etag": "x", "size": 3}, "17"),
        ({"ETag": '"abc"', "size": 3}, "abc"),
        ({"size": 3, "mtime": 1700000000.25}, "3-1700000000.250000"),
        ({"size": 3}, ""),
    ],
)
def test_versions(info: dict[str, object], version: str) -> None:
    assert image_version(info) == version


def test_credentials_in_urls_are_taken_out() -> None:
    assert without_secrets("--input=ftp://me:secret@host/a x@y") == "--input=ftp://host/a x@y"
