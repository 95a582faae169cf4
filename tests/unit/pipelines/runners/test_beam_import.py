"""What importing Beam brings along: the clients of clouds only where Beam's options name a place there."""

import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY

PROGRAM = """
import sys
from pipelines.runners import beam_options
beam_options(sys.argv[1:])
from apache_beam.io.filesystems import FileSystems
for uri in ("/a", "gs://a/b", "s3://a/b", "azfs://a/b"):
    try:
        print(type(FileSystems.get_filesystem(uri)).__name__, end=" ")
    except ValueError:
        print("none", end=" ")
print(*(name in sys.modules for name in ("azure.storage.blob", "google.cloud.storage", "boto3")))
"""


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ([], "LocalFileSystem none none none False False False"),
        (["--temp_location=gs://a/b"], "LocalFileSystem GCSFileSystem none none False True False"),
        (["--temp_location=azfs://a/b"], "LocalFileSystem none none BlobStorageFileSystem True False False"),
    ],
)
def test_beams_file_systems_are_imported_where_options_name_them(arguments: list[str], found: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == found
