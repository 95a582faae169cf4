"""The same pictures in every form in which people have data sets: from the input to the same classifier."""

import dataclasses
import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from schemas.delta import Scan
from schemas.store import FeatureStore
from tests.conftest import extract, train
from tests.support.data_sets import example, write_image_table, write_records

CLASSES = ("cats", "dogs")
COUNTS = {"train": 16, "val": 8}


@dataclasses.dataclass(frozen=True)
class Picture:
    """A real picture: where it is, its class and its split, as the split is called."""

    path: Path
    label: str
    split: str


@pytest.fixture(scope="module")
def pictures(shared: Path) -> list[Picture]:
    """Some of dogs_vs_cats."""
    folder = shared / "images" / "dogs_vs_cats"
    splits = {"train": "train", "val": "validation"}
    return [
        Picture(path, label, split)
        for split, count in COUNTS.items()
        for label in CLASSES
        for path in sorted((folder / splits[split] / label).iterdir())[:count]
    ]


def as_folders(pictures: list[Picture], folder: Path) -> tuple[str, ...]:
    """`train/cats`, `val/dogs` and so on, as hymenoptera has them."""
    for picture in pictures:
        place = folder / picture.split / picture.label
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(picture.path, place)
    return (f"--input={folder}", "--labels_from=parent")


def as_kaggle(pictures: list[Picture], folder: Path) -> tuple[str, ...]:
    """Pictures in one folder, and a table of their ids without folder and extension."""
    (folder / "images").mkdir(parents=True)
    lines = ["id,breed,fold"]
    for number, picture in enumerate(pictures):
        shutil.copy(picture.path, folder / "images" / f"{number:05}.jpg")
        lines.append(f"{number:05},{picture.label},{picture.split}")
    (folder / "labels.csv").write_text("\n".join(lines))
    columns = ("--uri_column=id", "--label_column=breed", "--split_column=fold")
    return (f"--input={folder}/labels.csv", "--uri_prefix=images/", "--uri_suffix=.jpg", *columns)


def as_csv(pictures: list[Picture], folder: Path) -> tuple[str, ...]:
    """A table of paths with ids."""
    folder.mkdir()
    lines = [f"{number},{each.path},{each.label},{each.split}" for number, each in enumerate(pictures)]
    (folder / "images.csv").write_text("\n".join(["id,uri,label,split", *lines]))
    return (f"--input={folder}/images.csv",)


def as_image_folder(pictures: list[Picture], folder: Path) -> tuple[str, ...]:
    """A folder a split, with a table in each."""
    for split in COUNTS:
        own = [picture for picture in pictures if picture.split == split]
        (folder / split).mkdir(parents=True)
        lines = [json.dumps({"file_name": picture.path.name, "label": picture.label}) for picture in own]
        (folder / split / "metadata.jsonl").write_text("\n".join(lines))
        for picture in own:
            shutil.copy(picture.path, folder / split)
    return (f"--input={folder}",)


def as_image_tables(pictures: list[Picture], folder: Path) -> tuple[str, ...]:
    """Parquet files with the bytes, as on Hugging Face's hub."""
    for split, name in (("train", "train-00000-of-00001"), ("val", "validation-00000-of-00001")):
        own = [picture for picture in pictures if picture.split == split]
        cells = [{"bytes": picture.path.read_bytes(), "path": picture.path.name} for picture in own]
        numbers = [CLASSES.index(picture.label) for picture in own]
        write_image_table(folder / "data" / f"{name}.parquet", cells, {"label": CLASSES}, label=numbers)
    (folder / "README.md").write_text("# Pictures")
    return (f"--input={folder}",)


def as_records(pictures: list[Picture], folder: Path) -> tuple[str, ...]:
    """TFRecord files, as TensorFlow's scripts for ImageNet write them; one of them compressed."""
    for split, name in (("train", "train-00000-of-00001"), ("val", "validation.tfrecord.gz")):
        own = [picture for picture in pictures if picture.split == split]
        records = [
            example({"image/class/text": picture.label.encode(), "image/encoded": picture.path.read_bytes()})
            for picture in own
        ]
        path = write_records(folder / name, records)
        if name.endswith(".gz"):
            path.write_bytes(gzip.compress(path.read_bytes()))
    return (f"--input={folder}",)


Form = Callable[[list[Picture], Path], tuple[str, ...]]
FORMS: tuple[Form, ...] = (as_kaggle, as_csv, as_image_folder, as_image_tables, as_records)


@dataclasses.dataclass(frozen=True)
class Trained:
    """What became of the pictures: the store, rows by the hash of their bytes, and the classifier's metrics."""

    store: FeatureStore
    rows: dict[str, tuple[str, str, bytes]]
    metrics: dict[str, Any]


def trained(folder: Path, *options: object) -> Trained:
    """Extracts the pictures of an input, and trains on them."""
    expected = len(CLASSES) * sum(COUNTS.values())
    for extracted in (expected, 0):
        summary = extract(*options, f"--output={folder}/store")
        figures = [summary[name] for name in ("listed", "extracted", "failed", "duplicates", "labels_updated")]
        assert figures == [expected, extracted, 0, 0, 0]
    store = FeatureStore.open(f"{folder}/store")
    (layer,) = store.spec.layers
    columns = ["sha256", "label", "split"]
    table = store.scan(columns).to_arrow()
    features = store.scan([layer]).to_numpy(layer)
    rows = {
        key: (label, split, values.tobytes())
        for key, label, split, values in zip(*(table[name].to_pylist() for name in columns), features, strict=True)
    }
    return Trained(store, rows, train(f"--features={store.uri}", f"--output={folder}/model", "--test_fraction=0"))


@pytest.fixture(scope="module")
def by_folders(pictures: list[Picture], mobilenet_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The pictures as folders, through the real MobileNet 0.25."""
    folder = tmp_path_factory.mktemp("folders")
    base = ("--conv_base=MobileNet", "--conv_base_arg=alpha=0.25", f"--weights={mobilenet_weights}")
    return trained(folder, *as_folders(pictures, folder / "pictures"), *base)


def test_folders_of_splits_and_classes_train_a_classifier(by_folders: Trained) -> None:
    assert by_folders.metrics["images"] == {"train": 2 * COUNTS["train"], "validation": 2 * COUNTS["val"]}
    assert by_folders.metrics["validation_accuracy"] >= 0.8
    assert {(label, split) for label, split, _ in by_folders.rows.values()} == {
        (label, split) for label in CLASSES for split in ("train", "validation")
    }


@pytest.mark.parametrize("form", FORMS)
def test_the_same_pictures_in_another_form_train_the_same_classifier(
    form: Form, pictures: list[Picture], by_folders: Trained, tmp_path: Path
) -> None:
    shutil.copytree(f"{by_folders.store.uri.removeprefix('file://')}/conv_bases", tmp_path / "store" / "conv_bases")
    FeatureStore.create(str(tmp_path / "store"), by_folders.store.spec)
    found = trained(tmp_path, *form(pictures, tmp_path / "pictures"))
    assert found.rows == by_folders.rows
    for name in ("validation_accuracy", "validation_log_loss"):
        assert found.metrics[name] == pytest.approx(by_folders.metrics[name], abs=1e-3), name


def test_hugging_faces_parquet_with_its_labels(shared: Path, small_store: FeatureStore, tmp_path: Path) -> None:
    table = shared / "cases" / "B7-types" / "hf.parquet"
    if not table.is_file():
        pytest.skip(f"needs {table}, which is absent")
    shutil.copytree(f"{small_store.uri.removeprefix('file://')}/conv_bases", tmp_path / "store" / "conv_bases")
    store = FeatureStore.create(str(tmp_path / "store"), small_store.spec)
    assert extract(f"--input={table}", f"--output={tmp_path}/store")["failed"] == 0
    rows = store.scan(["uri", "label"]).to_arrow().sort_by("uri").to_pylist()
    assert [row["uri"] for row in rows] == [
        f"parquet://image-{number:012}::file://{table}" for number in range(len(rows))
    ]
    assert len({row["label"] for row in rows}) == 2
    assert Scan(store.failures()).count() == 0
