"""Where a table is, and with which credentials, is translated for `deltalake` in one place."""

import pytest
from fsspec.config import conf

from schemas.delta.locations import delta_location, delta_storage_options


@pytest.mark.parametrize(
    ("uri", "given", "options"),
    [
        ("/store", {}, {}),
        (
            "s3://bucket/store",
            {"s3": {"key": "k", "secret": "s", "client_kwargs": {"endpoint_url": "http://localhost:1"}}},
            {
                "AWS_ACCESS_KEY_ID": "k",
                "AWS_SECRET_ACCESS_KEY": "s",
                "AWS_ENDPOINT_URL": "http://localhost:1",
                "AWS_ALLOW_HTTP": "true",
            },
        ),
        ("gs://bucket/store", {"gs": {"token": "key.json"}}, {"GOOGLE_SERVICE_ACCOUNT": "key.json"}),
        ("abfs://box/store", {"abfs": {"account_name": "a"}}, {"AZURE_STORAGE_ACCOUNT_NAME": "a"}),
    ],
)
def test_credentials_of_fsspec_reach_deltalake(
    uri: str, given: dict[str, object], options: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    for protocol, values in given.items():
        monkeypatch.setitem(conf, protocol, values)
    assert delta_storage_options(uri) == options


def test_a_local_table_is_named_by_its_path() -> None:
    assert delta_location("file:///data/a b#c") == "/data/a b#c"
