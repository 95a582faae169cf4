"""Stores, models and outputs in buckets that cannot be reached: one sentence, within ten seconds, whoever asks."""

import functools
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fsspec.config import conf

from pipelines import predict as predict_command
from schemas.classifiers import Classifier
from schemas.clouds import machine
from schemas.errors import ModelNotFound, StoreUnreachable
from schemas.storage import check_folder
from schemas.store import FeatureStore
from tests.support.servers import s3_server
from transforms.export import reserved_folder

SECONDS = 10


def reserve(uri: str) -> None:
    with reserved_folder(uri, overwrite=True):
        pass


ASKED = {
    "model": Classifier.open,
    "output": functools.partial(check_folder, "The folder"),
    "training": reserve,
    "store": FeatureStore.open,
}
ASKS = pytest.mark.parametrize("asks", ASKED)


@pytest.fixture
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No credentials anywhere, and a machine that has none."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "AZURE_", "GOOGLE_", "STORAGE_EMULATOR"))]:
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "CLOUDSDK_CONFIG"):
        monkeypatch.setenv(name, str(tmp_path / name))
    for name in ("s3", "gs", "gcs", "az", "abfs"):
        monkeypatch.setitem(conf, name, {})
    monkeypatch.setattr(machine, "has_credentials", lambda: False)


@pytest.fixture
def limit() -> Iterator[None]:
    started = time.monotonic()
    yield
    assert time.monotonic() - started < SECONDS


@pytest.mark.usefixtures("nobody", "limit")
@ASKS
@pytest.mark.parametrize(
    "uri",
    ["s3://photos/folder", "gs://photos/folder", "abfs://photos/folder", "abfss://photos@ours.dfs.core.windows.net/a"],
)
def test_without_credentials(uri: str, asks: str) -> None:
    place = uri.replace("abfss", "abfss?")
    with pytest.raises(StoreUnreachable, match=f"The storage of {place}.* cannot be reached: ") as caught:
        ASKED[asks](uri)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("nobody", "limit")
@pytest.mark.parametrize(
    ("uri", "name", "sentence"),
    [
        ("s3://photos/folder", "AWS_PROFILE", "config profile .no-such. could not be found"),
        ("gs://photos/folder", "GOOGLE_SERVICE_ACCOUNT", "File no-such was not found"),
    ],
)
def test_with_credentials_that_are_not_there(
    uri: str, name: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "no-such")
    for asked in ASKED.values():
        with pytest.raises(StoreUnreachable, match=sentence):
            asked(uri)


@pytest.mark.usefixtures("limit")
def test_where_there_is_no_such_bucket(tmp_path: Path) -> None:
    with s3_server() as server:
        for asked in ASKED.values():
            with pytest.raises(StoreUnreachable, match="There is no such bucket"):
                asked("s3://no-such-bucket-anywhere/folder")
        with pytest.raises(StoreUnreachable, match="There is no such bucket"):
            predict_command.main(
                ["--model=s3://no-such-bucket-anywhere/model", f"--input={tmp_path}", f"--output={tmp_path}/scores"]
            )
        with pytest.raises(ModelNotFound, match="There is no classifier at"):
            Classifier.open(f"s3://{server.bucket}/model")
