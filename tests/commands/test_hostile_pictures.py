"""Pictures that were made to end, starve or deceive a run, among good ones."""

import shutil
from pathlib import Path

import pytest

from schemas.delta import Scan
from schemas.store import FeatureStore
from tests.conftest import SMALL_BASE, Run, extract, write_pictures

CODES = {
    "assertion_18203.png": "decoder_error",
    "avif_runtimeerror_33898.bin": "decoder_error",
    "bmp_rle8_delta_100000000_x_1.bin": "too_many_pixels",
    "gif_65535_x_65535_disposal_2.bin": "too_many_pixels",
    "hang_bmp_7s.bmp": "too_many_pixels",
    "jpeg_1000_x_1000_1000_scans.bin": "too_much_metadata",
    "jpeg_exif_16384_tags_in_4_segments.bin": "too_much_metadata",
    "memoryerror_1371.tif": "too_many_pixels",
    "palette_png_without_PLTE.png": "decoder_error",
    "png_100000000_x_1_bicubic.bin": "too_many_pixels",
    "png_1_x_100000000_grey.bin": "too_many_pixels",
    "png_zTXt_raw_exif_40000_tags.bin": "too_much_metadata",
    "tiff_4096_tags_of_the_whole_file.bin": "too_much_metadata",
}


@pytest.mark.parametrize("decode", ["exact", "scaled"])
def test_hostile_pictures_cost_only_themselves(decode: str, shared: Path, tmp_path: Path) -> None:
    good = write_pictures(tmp_path / "pictures", 20)
    hostile = sorted((shared / "cases" / "hostile").iterdir())
    for file in hostile:
        shutil.copyfile(file, tmp_path / "pictures" / f"hostile-{file.name}.jpg")
    summary = extract(
        f"--input={tmp_path}/pictures", f"--output={tmp_path}/store", "--max_failure_ratio=1", f"--decode={decode}",
        *SMALL_BASE,
    )  # fmt: skip
    # One of them is lossless, which is decoded without being scaled.
    assert (summary["listed"], summary["failed"]) == (len(good) + len(hostile), len(CODES))
    assert summary["extracted"] == len(good) + 1
    rows = Scan(FeatureStore.open(f"{tmp_path}/store").failures()).to_arrow().to_pylist()
    found = {row["uri"].rpartition("/hostile-")[2].removesuffix(".jpg"): row["code"] for row in rows}
    assert found == CODES


def test_names_do_nothing_to_a_terminal(run: Run, tmp_path: Path) -> None:
    for number, name in enumerate(("cats\x1b[2J", "dogs\n  failed  0")):
        write_pictures(tmp_path / "photos" / name, 2, seed=number)
        (tmp_path / "photos" / name / "bad\r\x1b]0;title\x07.jpg").write_text("no picture")
    store = tmp_path / "store"
    options = (f"--input={tmp_path}/photos", "--labels_from=parent", f"--output={store}", "--max_failure_ratio=1")
    done = [
        run("extract", *options, *SMALL_BASE),
        run("inspect", store, "--failures"),
        run("extract", f"--input={tmp_path}/photos/\x1b[2J", f"--output={store}"),
        run("extract", f"--input={tmp_path}/photos", "--max_failure_ratio=0", f"--output={tmp_path}/o", *SMALL_BASE),
    ]
    assert [one.returncode for one in done] == [0, 0, 2, 1]
    for one in done:
        text = one.stdout + one.stderr
        assert text.replace("\n", "").replace("\t", "").isprintable()
    assert "cats\\x1b[2J 3, dogs\\n  failed  0 3" in done[0].stdout
    assert len(done[1].stdout.splitlines()) == 2
