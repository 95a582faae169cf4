"""Every image of an input has features or is named with the reason; where one is missing, the exit code says so."""

import csv
from pathlib import Path

import pyarrow as pa
import pytest

from pipelines import inspect as command
from schemas.errors import FailureCode, UsageError
from schemas.fragments import TableName
from schemas.maintenance import take_down
from schemas.storage import canonical_uri
from schemas.store import FeatureStore
from tests.conftest import write_pictures
from tests.support.fragments import SPEC, failures, fragment
from transforms.planning import Snapshot


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    """Holds `a` and `b`; `c` failed, `d` failed once and has features of another version."""
    store = FeatureStore.create(str(tmp_path / "store"), SPEC)
    a, b, c, d = map(uri, "abcd")
    store.commit_fragments(TableName.FEATURES, "1", [fragment(store, {a: 1.0, b: 1.0, d: 1.0})])
    failed = [failures(store, [c]), failures(store, [d], version="2")]
    store.commit_fragments(TableName.FAILURES, "1", failed)
    return store


def uri(name: str) -> str:
    return canonical_uri(f"/images/{name}.jpg")


def manifest(folder: Path, *images: tuple[str, str], name: str = "images.csv") -> Path:
    """Writes a manifest of images, each with its version."""
    with (folder / name).open("w", newline="") as file:
        csv.writer(file).writerows([("uri", "version"), *((uri(image), version) for image, version in images)])
    return folder / name


def compared(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, list[tuple[str, str]], str]:
    """Returns the exit code, the missing images with the reasons, and the last line."""
    code = command.main([*map(str, arguments), "--coverage"])
    *lines, last = capsys.readouterr().out.splitlines()
    return code, sorted((line[26:].rpartition("/")[2], line[:26].rstrip()) for line in lines), last


def test_an_input_that_is_covered_exits_with_0(
    store: FeatureStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = manifest(tmp_path, ("a", "1"), ("b", "1"), ("a", "1"))
    assert compared(capsys, store.uri, f"--input={images}") == (0, [], "0 of 2 images are missing.")


@pytest.mark.parametrize(
    ("image", "why"),
    [
        (("new", "1"), "never seen"),
        (("b", "2"), "another version"),
        (("c", "1"), "failed: empty_file"),
        (("c", "2"), "never seen"),
        (("d", "2"), "failed: empty_file"),
        (("d", "3"), "another version"),
    ],
)
def test_what_is_missing_is_named_with_the_reason(
    image: tuple[str, str], why: str, store: FeatureStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = manifest(tmp_path, ("a", "1"), image)
    code, missing, last = compared(capsys, store.uri, f"--input={images}")
    assert (code, missing) == (1, [(f"{image[0]}.jpg", why)])
    assert last == f"1 of 2 images are missing: 1 {why}."


def test_the_last_failure_is_the_reason(
    store: FeatureStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = failures(store, [uri("c")], code=FailureCode.TRUNCATED)
    store.commit_fragments(TableName.FAILURES, "2", [again], Snapshot.newest(store).versions)
    images = manifest(tmp_path, ("c", "1"))
    assert compared(capsys, store.uri, f"--input={images}")[1] == [("c.jpg", "failed: truncated")]


def test_what_was_taken_down_is_not_missing(
    store: FeatureStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = manifest(tmp_path, ("a", "1"), ("a", "2"), ("b", "1"), ("c", "1"))
    take_down(store.uri, pa.array([uri("a"), uri("c")]), None)
    assert compared(capsys, store.uri, f"--input={images}") == (0, [], "0 of 3 images are missing.")


def test_the_list_is_bounded_and_the_figures_are_not(
    store: FeatureStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = manifest(tmp_path, *((f"new-{number}", "1") for number in range(50)), ("a", "2"))
    code = command.main([store.uri, "--coverage", f"--input={images}", "--limit=3"])
    lines = capsys.readouterr().out.splitlines()
    assert code == 1
    assert len(lines) == 5
    assert lines[-2:] == [
        "… and 48 more (--limit).",
        "51 of 51 images are missing: 50 never seen, 1 another version.",
    ]


def test_dates_are_compared_as_a_backfill_lists_them(
    store: FeatureStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for day in (1, 3):
        write_pictures(tmp_path / f"up/2024-03-0{day}", day)
    options = (store.uri, f"--input={tmp_path}/up/{{ds}}/", "--end=2024-03-03")
    assert compared(capsys, *options, "--start=2024-03-01")[2] == "4 of 4 images are missing: 4 never seen."
    assert compared(capsys, *options)[2] == "3 of 3 images are missing: 3 never seen."


def test_an_input_is_needed(store: FeatureStore, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Say with --input what --coverage is to compare the store with"):
        command.main([store.uri, "--coverage"])
    with pytest.raises(UsageError, match="There is no input at"):
        command.main([store.uri, "--coverage", f"--input={tmp_path}/nowhere"])
    with pytest.raises(UsageError, match=r"has no \{ds\} in it"):
        command.main([store.uri, "--coverage", f"--input={tmp_path}", "--start=2024-03-01", "--end=2024-03-02"])
