"""URIs without what signs them: the name of an image stays, and what opens its storage goes."""

import pytest

from schemas.uris import bare_uri, without_secrets

SECRET = "c0ffee%2Fsecret%3D"

BARE = {
    "https://h/a.jpg?X-Amz-Algorithm=A&X-Amz-Credential=AKIA&X-Amz-Date=1&X-Amz-Expires=9&X-Amz-Security-Token=t"
    "&X-Amz-SignedHeaders=host&X-Amz-Signature=s": "https://h/a.jpg",
    "https://h/a.jpg?versionId=7&x-amz-signature=s": "https://h/a.jpg?versionId=7",
    "https://h/a.jpg?AWSAccessKeyId=A&Expires=1&Signature=s%3D": "https://h/a.jpg",
    "https://a.blob.core.windows.net/c/a.jpg?sv=2024&se=2026&sp=r&sr=b&sig=s%2B": "https://a.blob.core.windows.net/c/a.jpg",
    "https://storage.googleapis.com/b/a.jpg?X-Goog-Algorithm=A&X-Goog-Credential=c&X-Goog-Signature=s&generation=5":
        "https://storage.googleapis.com/b/a.jpg?generation=5",
    "https://h/a.jpg?GoogleAccessId=x&Expires=1&Signature=s": "https://h/a.jpg",
    "https://d.cloudfront.net/a.jpg?Policy=p&Key-Pair-Id=k&Signature=s": "https://d.cloudfront.net/a.jpg",
    "https://h/a.jpg?OSSAccessKeyId=o&Expires=1&Signature=s&x-oss-process=image/resize,w_9":
        "https://h/a.jpg?x-oss-process=image/resize,w_9",
    "https://h/a.jpg?q-sign-algorithm=sha1&q-ak=a&q-key-time=1&q-signature=s&w=3": "https://h/a.jpg?w=3",
    "https://h/a.jpg?access_token=t": "https://h/a.jpg",
    "https://h/a.jpg?w=1&TOKEN=t&h=2": "https://h/a.jpg?w=1&h=2",
    "https://h/a.jpg?api%5Fkey=t&x": "https://h/a.jpg?x",
    "https://h/a.jpg?key=AIzaSy0000000000000000": "https://h/a.jpg",
    "https://h/view?key=photos/7.jpg": "https://h/view?key=photos/7.jpg",
    "https://h/view?key=1234": "https://h/view?key=1234",
    "https://user:password@h:8443/a.jpg": "https://h:8443/a.jpg",
    "http://user@h/a.jpg": "http://h/a.jpg",
    "https://user:p@ss:w@h/a.jpg": "https://h/a.jpg",
    "ftp://user:password@h/a.jpg": "ftp://h/a.jpg",
    "sftp://user@h/a.jpg": "sftp://user@h/a.jpg",
    "https://h/a.jpg#access_token=t": "https://h/a.jpg",
    "zip://c/a.jpg::https://h/a.zip?sig=s": "zip://c/a.jpg::https://h/a.zip",
    "parquet://image-0::https://user:password@h/a.parquet": "parquet://image-0::https://h/a.parquet",
}  # fmt: skip

KEPT = (
    "s3://bucket/a?token=1.jpg",
    "s3://bucket/a@b.jpg",
    "file:///photos/a?sig=1&b=2.jpg",
    "abfs://container@account.dfs.core.windows.net/a.jpg",
    "github://owner:repository@main/a.jpg",
    "https://h/a.jpg?w=1&se=2&sp=3",
    "https://h/@user/a.jpg",
    "https://h/a.jpg?",
    "https://h/a?b=c?d=e&f",
    "https://h/caf\u00e9.jpg?q=a%20b",
)


@pytest.mark.parametrize("uri", BARE)
def test_a_signed_uri_has_a_name_without_what_signs_it(uri: str) -> None:
    assert bare_uri(uri) == BARE[uri]
    assert bare_uri(BARE[uri]) == BARE[uri]


@pytest.mark.parametrize("uri", KEPT)
def test_what_is_no_secret_is_part_of_the_name(uri: str) -> None:
    assert bare_uri(uri) == uri


@pytest.mark.parametrize("uri", BARE)
@pytest.mark.parametrize(
    "text", ["{}", "The file {} is gone.", '{{"input": ["{}", "b"]}}', "<a href='{}'>", "{}\n  at x"]
)
def test_a_text_has_no_secret_of_a_url_in_it(uri: str, text: str) -> None:
    said = without_secrets(text.format(uri))
    for secret in ("password", "p@ss", "AKIA", "Signature=", "sig=", "oken=", "AIzaSy", "user"):
        if secret not in BARE[uri]:
            assert secret not in said, said


def test_a_url_within_a_url_has_none_either() -> None:
    proxied = "https://proxy/?url=https%3A%2F%2Fh%2Fa.jpg%3Fw%3D1%26sig%3Dc0ffee%26b%3D2"
    assert bare_uri(proxied) == without_secrets(proxied) == "https://proxy/?url=https%3A%2F%2Fh%2Fa.jpg%3Fw%3D1%26b%3D2"


@pytest.mark.parametrize("text", ["Is it there? a=b", "did you mean 'x'?", "m.csv#row=13", "a@b.c", "1 + 1 = 2", ""])
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert without_secrets(text) == text
