"""Pictures in buckets: the table of the local run, whoever reads them and whatever server they are on."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pandas as pd
import pytest

from pipelines import extract as extract_command
from pipelines import maintain
from schemas.buckets import BucketFileSystem
from schemas.errors import InvalidInput
from schemas.storage import file_system
from schemas.store import FeatureStore
from tests.conftest import SMALL_BASE, extract, write_pictures
from tests.support.azure_server import azurite
from tests.support.gcs_server import gcs_server
from tests.support.s3_servers import versitygw
from tests.support.servers import s3_environment, s3_server
from tests.support.slow_proxy import slow_proxy

PICTURES = 12


@contextmanager
def moto(_folder: Path) -> Iterator[str]:
    with s3_server() as server:
        yield server.bucket


@contextmanager
def far_versitygw(folder: Path) -> Iterator[str]:
    """An S3 server whose answers come late."""
    with (
        versitygw(folder) as bucket,
        slow_proxy(os.environ["AWS_ENDPOINT_URL"], 0.02) as endpoint,
        s3_environment(endpoint),
    ):
        yield bucket


Server = Callable[[Path], Any]
SERVERS = pytest.mark.parametrize("server", [moto, versitygw, far_versitygw])


@pytest.fixture(autouse=True)
def reads_by_obstore(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that obstore has read."""
    monkeypatch.delenv("CONVBASE_STORAGE", raising=False)
    read: list[str] = []
    whole = BucketFileSystem.cat_file

    def counted(self: BucketFileSystem, path: str, *positional: Any, **options: Any) -> bytes:
        read.append(path)
        return whole(self, path, *positional, **options)

    monkeypatch.setattr(BucketFileSystem, "cat_file", counted)
    return read


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures in folders, one of them with an odd name."""
    folder = tmp_path_factory.mktemp("cloud") / "pictures"
    write_pictures(folder / "a", PICTURES - 4)
    write_pictures(folder / "b c" / "100% d+é", 4, seed=1)
    return folder


@pytest.fixture(scope="module")
def local(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The table of the local run."""
    store = tmp_path_factory.mktemp("local") / "store"
    extract(f"--input={pictures}", f"--output={store}", "--labels_from=parent", *SMALL_BASE)
    return table(store, f"file://{pictures}")


def table(store: Path, root: str, *columns: str) -> pd.DataFrame:
    """The rows of a store by the paths of their images, features and all."""
    rows = FeatureStore.open(str(store)).scan().to_pandas()
    rows["uri"] = rows["uri"].str.removeprefix(root)
    of_content = ["uri", "sha256", "width", "height", "label", *(name for name in rows if name.startswith("global"))]
    return rows.set_index("uri").sort_index()[[*(of_content[1:]), *columns]]


def upload(folder: Path, bucket: str) -> str:
    client = boto3.client("s3")
    for path in folder.rglob("*.jpg"):
        client.upload_file(str(path), bucket, f"photos/{path.relative_to(folder)}")
    return f"s3://{bucket}/photos"


@SERVERS
def test_the_table_is_that_of_the_local_run(
    server: Server, pictures: Path, local: pd.DataFrame, tmp_path: Path, reads_by_obstore: list[str]
) -> None:
    with server(tmp_path / "server") as bucket:
        uri = upload(pictures, bucket)
        for storage in ("obstore", "fsspec"):
            reads_by_obstore.clear()
            options = (f"--input={uri}", f"--output={tmp_path}/{storage}", f"--storage={storage}", *SMALL_BASE)
            summary = extract(*options, "--labels_from=parent")
            assert (summary["extracted"], summary["failed"]) == (PICTURES, 0)
            assert len(reads_by_obstore) == (PICTURES if storage == "obstore" else 0)
            pd.testing.assert_frame_equal(table(tmp_path / storage, uri), local)
        versions = [table(tmp_path / storage, uri, "version")["version"] for storage in ("obstore", "fsspec")]
        pd.testing.assert_series_equal(*versions)
        # A store goes on with either, and nothing is computed again.
        for begun, going_on in (("obstore", "fsspec"), ("fsspec", "obstore")):
            again = extract(f"--input={uri}", f"--output={tmp_path}/{begun}", f"--storage={going_on}", *SMALL_BASE)
            assert (again["skipped"], again["extracted"]) == (PICTURES, 0)


@contextmanager
def google(folder: Path) -> Iterator[str]:
    pytest.importorskip("gcsfs", reason="needs gcsfs (the extra gcs), which is absent")
    folder.mkdir()
    with gcs_server(folder) as bucket:
        yield f"gs://{bucket}"


@contextmanager
def azure(folder: Path) -> Iterator[str]:
    pytest.importorskip("adlfs", reason="needs adlfs (the extra azure), which is absent")
    with azurite(folder) as container:
        yield f"abfs://{container}"


@pytest.mark.parametrize("server", [google, azure])
def test_the_table_is_that_of_the_local_run_in_other_clouds(
    server: Server, pictures: Path, local: pd.DataFrame, tmp_path: Path, reads_by_obstore: list[str]
) -> None:
    with server(tmp_path / "server") as root:
        fs, _ = file_system(root)
        for path in pictures.rglob("*.jpg"):
            fs.pipe_file(f"{root}/photos/{path.relative_to(pictures)}", path.read_bytes())
        options = (f"--input={root}/photos", f"--output={tmp_path}/store", *SMALL_BASE, "--labels_from=parent")
        summary = extract(*options)
        assert (summary["extracted"], summary["failed"], len(reads_by_obstore)) == (PICTURES, 0, PICTURES)
        pd.testing.assert_frame_equal(table(tmp_path / "store", f"{root}/photos"), local)
        again = extract(*options, "--storage=fsspec")
        assert (again["skipped"], again["extracted"]) == (PICTURES, 0)


@pytest.mark.parametrize("server", [google, azure])
def test_a_store_in_another_cloud_grows_and_is_looked_after(
    server: Server, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """More often than twice: the version that deltalake finds is the newest."""
    with server(tmp_path / "server") as root:
        store, nights = f"{root}/store", [f"--input={pictures}/a", f"--input={pictures}/b c", f"--input={pictures}"]
        done = [extract(night, f"--output={store}", *SMALL_BASE) for night in nights]
        assert [run["extracted"] for run in done] == [PICTURES - 4, 4, 0]
        gone = pictures / "a" / "000.jpg"
        (tmp_path / "gone.txt").write_text(f"file://{gone}")
        assert maintain.main([store, "takedown", f"--uris={tmp_path}/gone.txt"]) == 0
        assert maintain.main([store, "compact"]) == 0
        assert maintain.main([store, "vacuum"]) == 0
        assert maintain.main([store, "check", "--deep"]) == 0
        assert "features: 1 file, none damaged." in capsys.readouterr().out
        opened = FeatureStore.open(store)
        uris = opened.scan(["uri"]).to_numpy("uri").tolist()
        left = [
            f"file://{path}" for path in pictures.rglob("*.jpg") if path.name != "000.jpg" or path.parent.name != "a"
        ]
        assert sorted(uris) == sorted(left)
        assert len(opened.neighbours(opened.scan().to_numpy()[:2], 3)) == 6


def test_a_bucket_that_is_not_there_is_one_sentence_whoever_asks(tmp_path: Path) -> None:
    with s3_server():
        for storage in ("obstore", "fsspec"):
            options = ["--input=s3://no-such-bucket-anywhere/photos", f"--output={tmp_path}/store", *SMALL_BASE]
            with pytest.raises(InvalidInput, match="There is no bucket no-such-bucket-anywhere"):
                extract_command.main([*options, f"--storage={storage}"])
