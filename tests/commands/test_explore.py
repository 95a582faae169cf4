"""`pipelines.explore`: what it finds of planted copies, leaks and wrong labels, and its page in a browser."""

import dataclasses
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipelines import explore as command
from pipelines import maintain
from pipelines.jobs import draw_samples
from schemas.classifiers import Duplicates, SplitFractions
from schemas.errors import ConvbaseError, InvalidFeatures, SpecMismatch, UsageError
from schemas.fragments import TableName
from schemas.store import FeatureStore
from tests.conftest import extract, store_of_features, train
from tests.support.browser import Browser, opened_browser
from tests.support.fragments import SPEC, failures
from transforms.training import SplitBy, read_labelled_images

HOSTILE = "<img src=x onerror=alert(1)>&'\".jpg"
SAMPLE_BASE = (
    "--conv_base=MobileNet", "--conv_base_arg=alpha=0.25", "--weights=none", "--input_shape=96,96,3",
    "--layers=conv_pw_3_relu",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Explored:
    """Sample pictures with what was planted among them, their store, and its page."""

    pictures: Path
    store: FeatureStore
    page: Path
    printed: str


@pytest.fixture(scope="module")
def explored(tmp_path_factory: pytest.TempPathFactory) -> Explored:
    folder = tmp_path_factory.mktemp("explored")
    pictures = folder / "pictures"
    draw_samples(pictures)
    with Image.open(pictures / "train/discs/000.jpg") as picture:
        picture.save(pictures / "test/discs/again.jpg", quality=60)
    shutil.copy(pictures / "train/squares/001.jpg", pictures / "train/squares/twin.jpg")
    shutil.move(pictures / "train/stripes/002.jpg", pictures / "train/discs/wrong.jpg")
    shutil.move(pictures / "train/stripes/003.jpg", pictures / f"train/stripes/{HOSTILE}")
    (pictures / "train/discs/broken.jpg").write_bytes(b"\xff\xd8\xff no picture")
    extract(f"--input={pictures}", "--labels_from=parent", f"--output={folder}/store", *SAMPLE_BASE)
    page, printed = run_explore(folder / "store", folder / "explore")
    return Explored(pictures, FeatureStore.open(f"{folder}/store"), page, printed)


def run_explore(store: object, output: Path, *options: str) -> tuple[Path, str]:
    """Explores in this process: the page, and what was printed."""
    import contextlib
    import io

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert command.main([str(store), f"--output={output}", "--projection=pca", *options]) == 0
    return output / "index.html", printed.getvalue()


def names(path: Path, column: str = "uri") -> list[str]:
    return [uri.rpartition("/")[2] for uri in pq.read_table(path)[column].to_pylist()]


def test_the_planted_copies_are_found_and_the_leak_is_the_first(explored: Explored) -> None:
    table = pq.read_table(explored.page.parent / "duplicates.parquet")
    groups: dict[int, set[str]] = {}
    for row in table.to_pylist():
        groups.setdefault(row["group"], set()).add("/".join(row["uri"].split("/")[-3:]))
    assert groups[0] == {"train/discs/000.jpg", "test/discs/again.jpg"}
    assert {"train/squares/001.jpg", "train/squares/twin.jpg"} in groups.values()
    assert sum(table["keep"].to_pylist()) == len(groups) <= 4
    assert "across splits        1 group (split by column)" in explored.printed
    assert "train, test: again.jpg  000.jpg" in explored.printed


def test_the_wrong_label_is_the_first_issue(explored: Explored) -> None:
    first = pq.read_table(explored.page.parent / "label_issues.parquet").to_pylist()[0]
    assert first["uri"].endswith("train/discs/wrong.jpg")
    assert (first["label"], first["suggested"]) == ("discs", "stripes")
    assert 0.5 < first["margin"] <= 1


def test_it_says_which_file_to_open(explored: Explored) -> None:
    assert explored.printed.splitlines()[0] == "146 images, layer conv_pw_3_relu."
    assert explored.printed.splitlines()[-1] == f"Open {explored.page}"
    assert re.search(r"146 thumbnails, [\d.]+ kB", explored.printed)  # The broken file has none.


def test_an_image_that_has_features_by_now_is_no_failure_whatever_images_are_explored(tmp_path: Path) -> None:
    features = np.random.default_rng(0).normal(size=(24, 8))
    store = store_of_features(tmp_path / "store", features, split=["train"] * 20 + ["test"] * 4)
    store.commit_fragments(TableName.FAILURES, "earlier", [failures(store, ["file:///image-23"], "0")])
    options = ("--where=split = 'train'", "--thumbnails=0")
    page, _ = run_explore(store.uri, tmp_path / "explore", *options)
    assert "Every image has features." in page.read_text()
    store.commit_fragments(TableName.FAILURES, "later", [failures(store, ["file:///gone"])])
    page, _ = run_explore(store.uri, tmp_path / "again", *options)
    assert "Images without features, from the table failures" in page.read_text()


def test_the_page_is_the_same_each_time_and_everything_in_it_is_escaped(explored: Explored, tmp_path: Path) -> None:
    again, _ = run_explore(explored.store.uri, tmp_path / "again")
    text = explored.page.read_text()
    assert again.read_text() == text
    assert "alert(1)" not in text
    assert "default-src 'none'" in re.findall(r'Content-Security-Policy" content="(.*?)"', text)[0].replace(
        "&#39;", "'"
    )
    assert {path.name for path in again.parent.iterdir()} == {
        "index.html", "duplicates.parquet", "label_issues.parquet", "sheet-0000.webp",
    }  # fmt: skip


def test_without_thumbnails_no_picture_is_read(explored: Explored, tmp_path: Path) -> None:
    moved = explored.pictures.rename(explored.pictures.with_name("moved"))
    try:
        blank, printed = run_explore(explored.store.uri, tmp_path / "blank")
        none, _ = run_explore(explored.store.uri, tmp_path / "none", "--thumbnails=0")
    finally:
        moved.rename(explored.pictures)
    assert "  0 thumbnails" in printed  # All pictures are gone, and the page is there.
    assert not list(blank.parent.glob("*.webp"))
    assert not list(none.parent.glob("*.webp"))


def test_conditions_samples_and_projections(explored: Explored, tmp_path: Path) -> None:
    _, printed = run_explore(
        explored.store.uri, tmp_path / "some", "--where=split = 'train' AND label IN ('discs', 'squares')",
        "--sample=20", "--thumbnails=5", "--duplicate_distance=0",
    )  # fmt: skip
    assert printed.splitlines()[0] == "20 of 58 images, layer conv_pw_3_relu."
    assert "5 thumbnails" in printed
    _, printed = run_explore(explored.store.uri, tmp_path / "one", "--where=label = 'discs'", "--thumbnails=0")
    assert "labels               Every labelled image is of the class 'discs'" in printed


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        (["--layer=conv_pw_3"], UsageError, "no features of a layer 'conv_pw_3'; did you mean 'conv_pw_3_relu'"),
        (["--where=label = 'cats'"], UsageError, "There is no image to look at"),
        (["--where=uri LIKE '%again.jpg'"], UsageError, "There is one image alone to look at"),
        (["--where=lable = 'cats'"], UsageError, "no column 'lable'; did you mean 'label'"),
        (["--label_column=breed"], UsageError, "no column 'breed' with labels"),
        (["--table_version=99"], UsageError, "no version 99"),
        (["--duplicate_distance=3"], UsageError, "'3' is not between 0 and 2"),
        (["--sample=0"], UsageError, "not a whole number above 0"),
    ],
)
def test_what_cannot_be_explored_is_one_sentence(
    explored: Explored, tmp_path: Path, options: list[str], error: type[ConvbaseError], said: str
) -> None:
    with pytest.raises(error, match=re.escape(said)) as raised:
        command.main([explored.store.uri, f"--output={tmp_path}/explore", *options])
    assert "\n" not in str(raised.value)


def test_a_folder_that_cannot_be_written_and_a_store_that_is_not_there(explored: Explored, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        command.main([explored.store.uri, f"--output={tmp_path}/file/explore"])
    with pytest.raises(UsageError, match="There is no feature store at"):
        command.main([f"{tmp_path}/nowhere", f"--output={tmp_path}/explore"])


def test_maps_are_averaged_and_said_to_be(tmp_path: Path) -> None:
    maps = np.random.default_rng(0).random((12, 3, 3, 4), np.float32)
    store = store_of_features(tmp_path / "store", maps)
    page, printed = run_explore(store.uri, tmp_path / "explore", "--thumbnails=0")
    assert printed.startswith("12 images, layer features, its maps averaged.")
    assert "labels               No image has a label" in printed
    assert "which were averaged over their height and width" in page.read_text()


def test_features_that_are_no_numbers_are_named(tmp_path: Path) -> None:
    features = np.random.default_rng(0).random((12, 4), np.float32)
    features[3, 1] = np.nan
    store = store_of_features(tmp_path / "store", features)
    with pytest.raises(InvalidFeatures, match=r"1 of 12 images have NaN or infinite features.*file:///image-3"):
        command.main([store.uri, f"--output={tmp_path}/explore", "--thumbnails=0"])


def test_several_labels_are_judged_too(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 2, (200, 2))
    features = np.concatenate([5 * classes, rng.random((200, 3))], axis=1)
    given = classes.copy()
    given[7, 1] ^= 1
    lists = [[name for name, there in zip("ab", row, strict=True) if there] for row in given]
    store = store_of_features(tmp_path / "store", features.astype(np.float32), labels=lists)
    run_explore(store.uri, tmp_path / "explore", "--thumbnails=0")
    first = pq.read_table(tmp_path / "explore/label_issues.parquet").to_pylist()[0]
    assert first["uri"] == "file:///image-7"
    assert (first["label"], first["suggested"]) == (
        lists[7],
        [name for name, there in zip("ab", classes[7], strict=True) if there],
    )


def test_training_tells_of_leaks_and_takes_the_file(
    explored: Explored, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    duplicates = explored.page.parent / "duplicates.parquet"
    copies = pq.read_table(duplicates)["keep"].to_pylist().count(False)
    before = train(f"--features={explored.store.uri}", f"--output={tmp_path}/all")
    assert re.search(r"^Leaks: [1-9]", capsys.readouterr().out, flags=re.M)
    after = train(f"--features={explored.store.uri}", f"--output={tmp_path}/fewer", f"--drop_duplicates={duplicates}")
    assert f"Left out: {copies} near-duplicates of other images." in capsys.readouterr().out
    assert sum(before["images"].values()) - sum(after["images"].values()) == copies


def test_groups_stay_together_in_a_split_by_hash(explored: Explored, tmp_path: Path) -> None:
    table = pq.read_table(explored.page.parent / "duplicates.parquet")
    scan = explored.store.scan(["uri", "sha256", "split", "label"])
    grouped = Duplicates.read(f"{explored.page.parent}/duplicates.parquet")
    for fractions in (SplitFractions(0.2, 0.2), SplitFractions(0.4, 0.3), SplitFractions(0.05, 0.6)):
        images = read_labelled_images(scan, "label", SplitBy.HASH, fractions, None, grouped=grouped)
        split_of = dict(zip(scan.to_numpy("uri"), images.splits.tolist(), strict=True))
        for group in set(table["group"].to_pylist()):
            uris = [row["uri"] for row in table.to_pylist() if row["group"] == group]
            assert len({split_of[uri] for uri in uris}) == 1


def test_a_takedown_takes_the_file_for_the_copies(explored: Explored, capsys: pytest.CaptureFixture[str]) -> None:
    duplicates = explored.page.parent / "duplicates.parquet"
    copies = pq.read_table(duplicates)["keep"].to_pylist().count(False)
    assert maintain.main([explored.store.uri, "takedown", f"--uris={duplicates}", "--dry_run"]) == 0
    assert re.search(rf"\b{copies} (rows|images)", capsys.readouterr().out)


def test_drift_between_two_sets_is_told_and_can_fail_the_command(explored: Explored, tmp_path: Path) -> None:
    options = ["--thumbnails=0", "--compare", "label=discs", "label = 'stripes'"]
    page, printed = run_explore(explored.store.uri, tmp_path / "different", *options)
    told = json.loads((page.parent / "drift.json").read_text())
    assert told["found"] is True
    assert told["auc"] > 0.95
    assert [share["name"] for share in told["classes"]] == ["discs", "stripes"]
    assert len(told["novel"]) == 12
    assert "drift                AUC " in printed
    assert command.main([explored.store.uri, f"--output={tmp_path}/too-far", *options, "--max_drift=0.8"]) == 1
    with pytest.raises(UsageError, match="have 31 images in common"):
        command.main([explored.store.uri, f"--output={tmp_path}/common", "--compare", "split=test", "split=test"])


def test_snapshots_of_one_store_and_of_two_are_compared(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    near, far = rng.standard_normal((2, 60, 8)) + np.array([0, 3])[:, None, None]
    store = store_of_features(tmp_path / "store", near[:30], label=["a"] * 30)
    version = store.features().version()
    uris = [f"file:///later-{number}" for number in range(30)]
    store_of_features(tmp_path / "store", far[:30], ds="2026-02-01", uri=uris, label=["b"] * 30)
    other = store_of_features(tmp_path / "other", near[30:], uri=[f"file:///other-{n}" for n in range(30)])
    for sides, found, later in (
        ((f"table_version={version}", store.uri), True, 30),
        ((other.uri, f"table_version={version}"), False, 30),
        ((f"{tmp_path}/other@{other.features().version()}", store.uri), True, 60),
        ((f"table_version={version}", "label = 'b'"), True, 30),
    ):
        page, _ = run_explore(store.uri, tmp_path / "explore", "--thumbnails=0", "--compare", *sides)
        told = json.loads((page.parent / "drift.json").read_text())
        assert (told["found"], told["before"], told["later"]) == (found, 30, later), sides
    assert {share["name"]: share["later"] for share in told["classes"]} == {"a": 0.0, "b": 1.0}
    with pytest.raises(UsageError, match="have 30 and 0 different images"):
        run_explore(store.uri, tmp_path / "explore", "--compare", store.uri, f"table_version={version}")
    with pytest.raises(UsageError, match="no version 99"):
        run_explore(store.uri, tmp_path / "explore", "--compare", store.uri, "table_version=99")
    with pytest.raises(UsageError, match="--compare"):
        run_explore(store.uri, tmp_path / "explore", "--compare", store.uri, f"{tmp_path}/nowhere")
    foreign = FeatureStore.create(f"{tmp_path}/foreign", SPEC)
    with pytest.raises(SpecMismatch, match="holds features of another spec"):
        run_explore(store.uri, tmp_path / "explore", "--compare", store.uri, foreign.uri)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with opened_browser(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.fixture
def page(browser: Browser, explored: Explored) -> Browser:
    browser.errors.clear()
    browser.requests.clear()
    browser.open(explored.page)
    return browser


def image_at(page: Browser, name: str) -> tuple[int, float, float]:
    """The number of an image, and where its point is in the window."""
    image, x, y = page.value(
        f"""(() => {{
          const {{ images, map }} = window.page;
          const numbers = Array.from({{length: images.count}}, (_, at) => at);
          const image = numbers.find((at) => images.uri(at).endsWith({json.dumps(name)}));
          const [x, y] = map.placeOf(image);
          const box = document.getElementById("marks").getBoundingClientRect();
          return [image, box.left + x, box.top + y];
        }})()"""
    )
    return image, x, y


def test_the_page_draws_points_says_no_error_and_asks_for_nothing_else(page: Browser) -> None:
    drawn = page.value(
        """(() => {
          const { map } = window.page;
          const { gl } = map.points;
          map.points.draw(map.view(), 6);
          const pixels = new Uint8Array(gl.drawingBufferWidth * gl.drawingBufferHeight * 4);
          gl.readPixels(0, 0, gl.drawingBufferWidth, gl.drawingBufferHeight, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
          const colours = new Set();
          for (let at = 0; at < pixels.length; at += 4) {
            if (pixels[at + 3] > 200) colours.add(pixels.slice(at, at + 3).join());
          }
          return colours.size;
        })()"""
    )
    assert drawn >= 3  # A colour for each class.
    for tab in ("leaks", "duplicates", "issues", "classes", "oddities", "failures", "about", "map"):
        page.value(f"document.querySelector('[data-tab={tab}]').click()")
        assert page.value(f"document.getElementById('{tab}').innerText.length") > 20
    assert page.errors == []
    assert [url for url in page.requests if not url.startswith(("file:", "data:", "blob:"))] == []


def test_pointing_at_an_image_shows_it_and_a_click_opens_it_large(page: Browser) -> None:
    image, x, y = image_at(page, "train/squares/twin.jpg")
    page.move(x, y)
    page.wait("!document.getElementById('hover').hidden")
    assert re.search(r"(twin|001)\.jpg\nsquares · train", page.value("document.getElementById('hover').innerText"))
    assert page.value("document.querySelectorAll('#hover .near .thumb img').length") == 4
    page.value(f"window.page.open({image})")
    page.wait("document.querySelector('#details .large > img')?.naturalWidth === 160")
    assert page.value("document.querySelectorAll('#details .nearest .card').length") == 12
    nearest = page.value("document.querySelector('#details .nearest .card').innerText")
    assert nearest.startswith("001.jpg\n0")
    page.key("Escape")
    page.wait("!document.getElementById('details').open")
    page.drag((x, y))
    page.wait("document.getElementById('details').open")
    page.key("Escape")
    assert page.errors == []


def test_hostile_names_are_text(page: Browser) -> None:
    image, _, _ = image_at(page, HOSTILE)
    page.value(f"window.page.open({image})")
    assert page.value("document.getElementById('details-title').textContent") == HOSTILE
    page.wait("document.querySelector('#details .large > img')?.naturalWidth === 160")
    assert page.value("document.querySelectorAll('img[onerror]').length") == 0
    page.key("Escape")
    assert page.errors == []


def test_search_lasso_and_legend(page: Browser) -> None:
    page.key("/")
    assert page.value("document.activeElement.id") == "search"
    for letter in "twin.jpg":
        page.key(letter)
    assert page.value("document.getElementById('hits').textContent") == "1 image"
    page.key("Enter")
    page.wait("document.getElementById('details-title').textContent === 'twin.jpg'")
    page.key("Escape")
    page.key("Escape")
    edges = (
        "const b = document.getElementById('marks').getBoundingClientRect(); return [b.left, b.top, b.right, b.bottom]"
    )
    box = page.value(f"(() => {{ {edges} }})()")
    left, top, right, bottom = (value + inset for value, inset in zip(box, (2, 2, -2, -2), strict=True))
    page.drag((left, top), (right, top), (right, bottom), (left, bottom), shift=True)
    assert page.value("document.querySelector('#chosen h2').textContent") == "146 images selected"
    assert "squares 49" in page.value("document.querySelector('#chosen .note').textContent")
    page.value("document.querySelector('#legend .item').click()")
    shown = page.value("Array.from({length: 146}, (_, at) => window.page.colours.shows(at)).filter(Boolean).length")
    assert shown == 50
    for column in range(page.value("document.getElementById('colour').options.length")):
        page.value(f"(() => {{ const s = document.getElementById('colour'); s.value = '{column}'; s.onchange(); }})()")
    assert page.errors == []


def test_while_the_map_is_moved_what_is_drawn_is_moved_and_drawn_again_when_it_rests(page: Browser) -> None:
    page.value("window.page.map.redraw()")
    page.wait("window.page.map.drawn !== null")
    page.value(
        """(() => {
          const { map } = window.page;
          const draw = map.points.draw.bind(map.points);
          window.drawn = 0;
          window.moved = [];
          map.isSlow = true;
          map.points.draw = (view, size) => { window.drawn += 1; draw(view, size); };
          const shift = map.shift.bind(map);
          map.shift = (view) => {
            const is = shift(view);
            window.moved.push(is && map.canvas.style.transform);
            return is;
          };
          map.pan(5, 7);
        })()"""
    )
    page.wait("window.drawn === 1")
    assert page.value("window.moved[0]") == "translate(5px, 7px) scale(1, 1)"
    assert page.value("window.page.map.canvas.style.transform") == ""
    page.value("window.moved = []; window.page.map.pan(3000, 0)")
    page.wait("window.drawn >= 3")  # Nothing of it would be seen: it is drawn at once, and when the map rests.
    assert page.value("window.moved[0]") is False
    page.value("window.page.map.isSlow = false; window.page.map.pan(5, 5)")
    page.wait("window.drawn >= 5")
    assert page.errors == []


def test_arrow_keys_go_from_tab_to_tab(page: Browser) -> None:
    page.value("document.getElementById('tab-map').focus()")
    for key, tab in (("ArrowRight", "leaks"), ("ArrowLeft", "map"), ("ArrowLeft", "about")):
        page.key(key)
        assert page.value("document.activeElement.dataset.tab") == tab
        assert page.value(f"document.getElementById('{tab}').hidden") is False
    assert page.errors == []


def test_the_keyboard_alone_is_enough(page: Browser) -> None:
    page.value("document.getElementById('marks').focus()")
    for key in ("ArrowRight", "ArrowDown", "ArrowLeft", "ArrowUp"):
        page.key(key)
        assert page.value("window.page.map.focused") >= 0
    said = page.value("document.getElementById('said').textContent")
    assert re.search(r"\.jpg.*, (discs|squares|stripes) · (train|validation|test)$", said)
    page.key("Enter")
    page.wait("document.getElementById('details').open")
    page.key("Escape")
    page.wait("!document.getElementById('details').open")
    page.key("2")
    assert page.value("document.querySelector('nav [aria-selected=true]').dataset.tab") == "leaks"
    assert page.value("document.querySelectorAll('#leaks .group').length") == 1
    assert page.errors == []


@pytest.mark.parametrize("dark", [False, True])
def test_a_narrow_window_and_both_schemes(browser: Browser, explored: Explored, dark: bool) -> None:
    browser.errors.clear()
    browser.open(explored.page, 390, 800, dark=dark)
    for tab in ("map", "leaks", "issues", "oddities", "about"):
        browser.value(f"document.querySelector('[data-tab={tab}]').click()")
        assert browser.value("document.documentElement.scrollWidth") <= 390
    background = browser.value("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(21, 24, 29)" if dark else "rgb(255, 255, 255)")
    assert browser.errors == []
