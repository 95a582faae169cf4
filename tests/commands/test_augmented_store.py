"""Augmented features: further rows of training images alone, the same wherever they are computed, all or none."""

import dataclasses
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from pipelines import extract as extract_command
from pipelines import inspect as inspect_command
from schemas.augmentation import AugmentedRows
from schemas.classifiers import Classifier, Split, SplitFractions, trains_by_default
from schemas.delta import files_of, paths_of
from schemas.errors import ConvbaseError, InvalidSpec, SpecMismatch
from schemas.fragments import Fragment, TableName
from schemas.maintenance import compact, take_down
from schemas.store import FeatureStore
from tests.commands.test_predict import predict, rows
from tests.conftest import SMALL_BASE, extract, train, write_pictures
from tests.support.nights import SPEC, World
from transforms.decoding import DecodingRules, decode_image
from transforms.images import augmented
from transforms.training import SplitBy, TrainingData, read_labelled_images
from transforms.training.feature_rows import SplitRows

LAYER = "conv_pw_13_relu"
AUGMENT = ("--augment=2", "--augment_rotation=30")
AUGMENTATION = AugmentedRows(rows=2, rotation=30.0)
PER_CLASS = {"train": 3, "validation": 2, "test": 2}

Rows = dict[tuple[str, int], bytes]


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of two classes in three splits, and in `unsplit` pictures without a split."""
    folder = tmp_path_factory.mktemp("augmented") / "pictures"
    for seed, (split, count) in enumerate(PER_CLASS.items()):
        for number, name in enumerate(("cat", "dog")):
            write_pictures(folder / split / name, count, seed=10 * seed + number)
    for seed, name in ((98, "cat"), (99, "dog")):
        write_pictures(folder.parent / "unsplit" / name, 6, seed=seed)
    return folder


def extract_all(pictures: Path, store: Path, *options: str) -> dict[str, Any]:
    inputs = (f"--input={pictures}", f"--input={pictures.parent}/unsplit", "--labels_from=parent")
    return extract(*inputs, f"--output={store}", *SMALL_BASE, *options)


@pytest.fixture(scope="session")
def plain(pictures: Path) -> FeatureStore:
    """Features of the pictures alone; do not change it."""
    extract_all(pictures, pictures.parent / "plain")
    return FeatureStore.open(f"{pictures.parent}/plain")


@pytest.fixture(scope="session")
def store(pictures: Path, plain: FeatureStore) -> FeatureStore:
    """Features of the pictures and of augmented copies of them; do not change it."""
    summary = extract_all(pictures, pictures.parent / "store", *AUGMENT)
    training = sum(whole_rows(row) > 1 for row in plain.scan().to_arrow().to_pylist())
    assert 6 < training < 18
    figures = [summary[name] for name in ("listed", "skipped", "extracted", "failed", "augmented")]
    assert figures == [26, 0, 26, 0, 2 * training]
    return FeatureStore.open(f"{pictures.parent}/store")


def whole_rows(row: dict[str, Any]) -> int:
    """Returns how many rows an image has in the augmented store, by what the plain one says of it."""
    return 3 if trains_by_default(row["split"], row["sha256"]) else 1


def features(store: FeatureStore | Path) -> Rows:
    """The bytes of each row's feature, by the image's path from the pictures' folder on and the number of the copy."""
    found = FeatureStore.open(str(store)) if isinstance(store, Path) else store
    table = found.scan().to_arrow().to_pylist()
    by_key = {
        ("/".join(row["uri"].split("/")[-3:]), row.get("augmentation", 0)): np.float32(row[LAYER]).tobytes()
        for row in table
    }
    assert len(by_key) == len(table)
    return by_key


def test_pictures_have_the_features_of_a_plain_store(store: FeatureStore, plain: FeatureStore) -> None:
    assert {key: value for key, value in features(store).items() if key[1] == 0} == features(plain)
    assert store.fingerprint == plain.fingerprint
    assert "augmentation" not in plain.scan().schema.names
    assert not store.scan().schema.field("augmentation").nullable


def test_only_training_images_have_further_rows(store: FeatureStore, plain: FeatureStore) -> None:
    rows_of: dict[str, list[int]] = {}
    for row in store.scan().to_arrow().to_pylist():
        rows_of.setdefault(row["uri"], []).append(row["augmentation"])
    for row in plain.scan().to_arrow().to_pylist():
        assert sorted(rows_of[row["uri"]]) == list(range(whole_rows(row))), row["uri"]
    assert store.scan_images(["uri"]).to_arrow().num_rows == plain.scan(["uri"]).to_arrow().num_rows == len(rows_of)


def test_a_further_row_holds_the_features_of_its_copy(store: FeatureStore, tmp_path: Path) -> None:
    """Copies written down as pictures of the input's size have the same features, to the bit."""
    for row in store.scan().to_arrow().to_pylist():
        if row["augmentation"] and "/train/" in row["uri"]:
            data = Path(row["uri"].removeprefix("file://")).read_bytes()
            pixels = decode_image(data, DecodingRules(height=32, width=32)).pixels
            copy = augmented(pixels, AUGMENTATION, hashlib.sha256(data).hexdigest(), row["augmentation"])
            folder = tmp_path / "copies" / "/".join(row["uri"].split("/")[-3:])
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(copy).save(folder / f"{row['augmentation']}.png")
    extract(f"--input={tmp_path}/copies", f"--output={tmp_path}/store", *SMALL_BASE)
    ours = features(store)
    written = FeatureStore.open(f"{tmp_path}/store").scan().to_arrow().to_pylist()
    assert len(written) == 12
    for row in written:
        *folders, name = row["uri"].split("/")
        assert ours["/".join(folders[-3:]), int(name[0])] == np.float32(row[LAYER]).tobytes()


@pytest.mark.parametrize("options", [("--shard_size=1",), ("--shard_size=5", "--batch_size=3", "--threads=1")])
def test_rows_do_not_depend_on_shards_batches_and_threads(
    options: tuple[str, ...], store: FeatureStore, pictures: Path, tmp_path: Path
) -> None:
    extract_all(pictures, tmp_path / "store", *AUGMENT, *options)
    assert features(tmp_path / "store") == features(store)


def test_a_later_run_reads_the_augmentation_from_the_store(store: FeatureStore, pictures: Path, tmp_path: Path) -> None:
    shutil.copytree(store.uri.removeprefix("file://"), tmp_path / "store")
    write_pictures(tmp_path / "train" / "cat", 1, seed=500)
    extract_all(pictures, tmp_path / "store")
    summary = extract(
        f"--input={pictures}", f"--input={tmp_path}/train", "--labels_from=parent", f"--output={tmp_path}/store"
    )
    reported = [summary[name] for name in ("listed", "skipped", "extracted", "augmented", "fingerprint")]
    assert reported == [15, 14, 1, 2, store.fingerprint]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--augment=3",), "augment is 2 in the store, 3 was asked"),
        (("--augment=0",), "augment is 2 in the store, 0 was asked"),
        (("--augment=2", "--augment_zoom=0.5"), "augment_zoom is 0.2 in the store, 0.5 was asked"),
        (("--augment=2", "--augment_seed=1"), "augment_seed is 0 in the store, 1 was asked"),
    ],
)
def test_another_augmentation_is_refused(
    options: tuple[str, ...], sentence: str, store: FeatureStore, pictures: Path
) -> None:
    with pytest.raises(SpecMismatch, match=sentence):
        extract_command.main([f"--input={pictures}", f"--output={store.uri}", *options])


def test_augmented_and_plain_features_do_not_mix(plain: FeatureStore, store: FeatureStore, pictures: Path) -> None:
    with pytest.raises(SpecMismatch, match="augment is 0 in the store, 2 was asked"):
        extract_command.main([f"--input={pictures}", f"--output={plain.uri}", "--augment=2"])
    # Two commands may create a store at the same moment: the second finds the first one's.
    for first, second in ((plain, store), (store, plain)):
        with pytest.raises(SpecMismatch, match="augment is"):
            FeatureStore.create(first.uri, second.spec)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--augment_zoom=0.1",), "--augment_zoom says what augmented copies are like; say with --augment=N how many"),
        (("--augment=0", "--augment_seed=1"), "--augment_seed says what augmented copies are like"),
        (("--augment=1", "--augment_rotation=200"), "The rotation of the augmentation is 200; it goes from 0 to 180."),
        (("--augment=1", "--augment_zoom=1"), "The zoom of the augmentation is 1; it goes from 0 to below 1."),
    ],
)
def test_an_augmentation_that_is_none_is_refused(
    options: tuple[str, ...], sentence: str, pictures: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConvbaseError, match=sentence):
        extract_command.main([f"--input={pictures}", f"--output={tmp_path}/store", *SMALL_BASE, *options])
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("text", ["-1", "two", "1.5"])
def test_a_number_of_rows_is_a_whole_number(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConvbaseError, match=f"'{text}' is not a whole number, 0 or more"):
        extract_command.parser().parse_args([f"--augment={text}"])


def test_a_dry_run_tells_the_rows(pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [f"--input={pictures}", f"--output={tmp_path}/store", *SMALL_BASE, *AUGMENT, "--dry_run"]
    assert extract_command.main(arguments) == 0
    reported = dict(line.strip().rsplit(maxsplit=1) for line in capsys.readouterr().out.splitlines()[1:7])
    assert reported["to extract"] == "14"
    assert reported["rows of features, at most"] == "42"
    assert reported["bytes of features, at most"] == f"{42 * 4 * 256:,}"


def test_an_overview_counts_images(store: FeatureStore, capsys: pytest.CaptureFixture[str]) -> None:
    inspect_command.main([store.uri])
    assert f"  26 images, {store.features().count()} rows in " in capsys.readouterr().out


def test_a_column_of_a_manifest_may_not_take_the_place(pictures: Path, tmp_path: Path) -> None:
    """But in a plain store it is a column as any other, as it was before there were augmented ones."""
    picture = next((pictures / "train" / "cat").iterdir())
    (tmp_path / "m.csv").write_text(f"uri,split,augmentation\n{picture},train,strong\n")
    with pytest.raises(InvalidSpec, match="names of the store's own: augmentation; rename"):
        extract_command.main([f"--input={tmp_path}/m.csv", f"--output={tmp_path}/a", *SMALL_BASE, *AUGMENT])
    summary = extract(f"--input={tmp_path}/m.csv", f"--output={tmp_path}/b", *SMALL_BASE)
    assert (summary["extracted"], summary["augmented"]) == (1, 0)
    carried = FeatureStore.open(f"{tmp_path}/b")
    assert carried.scan_images(["augmentation"]).to_arrow()["augmentation"].to_pylist() == ["strong"]
    compact(carried.uri, TableName.FEATURES)
    assert extract(f"--input={tmp_path}/m.csv", f"--output={tmp_path}/b")["skipped"] == 1


def test_the_same_bytes_are_computed_once_with_all_their_rows(tmp_path: Path, submitted: list[int]) -> None:
    (first, second) = write_pictures(tmp_path / "train" / "cat", 2)
    (third,) = write_pictures(tmp_path / "test" / "cat", 1, seed=7)
    options = (f"--input={tmp_path}", "--extensions=jpg", "--labels_from=parent", f"--output={tmp_path}/store")
    extract(*options, *SMALL_BASE, *AUGMENT)
    assert sum(submitted) == 7
    before = features(tmp_path / "store")
    # A training image again under another time; a test image with its bytes; a training image with a test image's.
    os.utime(first, (1, 1))
    shutil.copy(second, tmp_path / "test" / "cat" / "second.jpg")
    shutil.copy(third, tmp_path / "train" / "cat" / "third.jpg")
    submitted.clear()
    summary = extract(*options)
    reported = [summary[name] for name in ("listed", "skipped", "extracted", "reused", "augmented")]
    assert (reported, sum(submitted)) == ([5, 2, 3, 2, 4], 3)
    after = features(tmp_path / "store")
    assert before.items() <= after.items()
    new = {key: value for key, value in after.items() if key not in before}
    assert new.keys() == {("test/cat/second.jpg", 0), *(("train/cat/third.jpg", index) for index in range(3))}
    assert new["test/cat/second.jpg", 0] == before["train/cat/001.jpg", 0]
    assert new["train/cat/third.jpg", 0] == before["test/cat/000.jpg", 0]


# Nights without a conv base. Of the pictures of one colour, by hash, 20 and 30 are training images and 10 is none.


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, dataclasses.replace(SPEC, augmentation=AugmentedRows(rows=2)))


def counts(world: World) -> dict[str, int]:
    uris = world.store.scan(["uri"]).to_arrow()["uri"].to_pylist()
    return {uri.rpartition("/")[2]: uris.count(uri) for uri in uris}


def test_a_changed_image_supersedes_all_its_rows(world: World) -> None:
    world.put("a.png", 20)
    world.put("b.png", 10)
    assert (world.extract().totals.extracted, counts(world)) == (2, {"a.png": 3, "b.png": 1})
    versions = {name: world.put(name, colour) for name, colour in (("a.png", 10), ("b.png", 30))}
    assert (world.extract().totals.extracted, counts(world)) == (2, {"a.png": 1, "b.png": 3})
    assert world.rows() == {"a.png": (versions["a.png"], 10), "b.png": (versions["b.png"], 30)}


def test_a_takedown_takes_all_rows_and_a_compaction_none(world: World) -> None:
    for name in ("a.png", "b.png", "c.png"):
        world.put(name, 20)
        world.extract()
    done = take_down(world.store.uri, pa.array([world.uri("b.png"), world.uri("nobody.png")]), None)
    assert (done.recorded, done.absent, done.rows[TableName.FEATURES]) == (2, 1, 3)
    assert compact(world.store.uri, TableName.FEATURES).written == 1
    assert counts(world) == {"a.png": 3, "c.png": 3}
    assert world.extract().counts.skipped == 3


def test_what_a_killed_run_had_finished_is_adopted_whole(world: World) -> None:
    for name, colour in (("a.png", 20), ("b.png", 30), ("c.png", 10)):
        world.put(name, colour)
    killed = world.work(world.plan())
    world.put("b.png", 20)
    computed = world.engine.computed
    outcome = world.extract()
    assert (outcome.totals.extracted, outcome.totals.adopted, outcome.totals.augmented) == (3, 2, 4)
    assert world.engine.computed == computed + 3
    assert counts(world) == {"a.png": 3, "b.png": 3, "c.png": 1}
    # The fragment of which all images are wanted is taken as it is.
    assert len({fragment.path for fragment in killed.fragments} & paths_of(world.store.features())) == 1


def test_a_run_that_comes_second_brings_no_row_twice(world: World) -> None:
    world.put("a.png", 20)
    first, second = world.work(world.plan()), world.plan()
    world.put("b.png", 30)
    late = world.work(world.plan())
    world.work(second)
    assert [world.commit(run).totals.extracted for run in (first, second, late)] == [1, 0, 1]
    assert counts(world) == {"a.png": 3, "b.png": 3}
    files = files_of(world.store.features())
    assert files["num_records"].to_pylist() == [3, 3]


def test_a_receipt_from_before_there_were_copies_is_read(world: World) -> None:
    world.put("a.png", 10)
    (fragment,) = world.work(world.plan()).fragments
    fields = json.loads(fragment.to_json())
    assert fields.pop("augmented") == 0
    assert Fragment.from_json(json.dumps(fields)) == fragment


# Training and predicting.


def training_data(store: FeatureStore, split_by: SplitBy, memory_bytes: int = 10**9) -> TrainingData:
    columns = ["uri", "sha256", "split", "label", *(["augmentation"] if store.spec.augmentation else [])]
    images = read_labelled_images(store.scan(columns), "label", split_by, SplitFractions(0.3, 0.2), None)
    version = store.features().version()
    return TrainingData.read(store, LAYER, version, images, map_reductions=["avg"], memory_bytes=memory_bytes)


def keys_of(store: FeatureStore, split: SplitRows) -> set[tuple[str, int]]:
    table = store.scan(["uri", "augmentation"]).to_arrow().take(pa.array(split.numbers)).to_pylist()
    return {(row["uri"], row["augmentation"]) for row in table}


@pytest.mark.parametrize("split_by", [SplitBy.COLUMN, SplitBy.HASH])
def test_all_rows_train_and_pictures_judge(split_by: SplitBy, store: FeatureStore, plain: FeatureStore) -> None:
    data = training_data(store, split_by)
    by_split = {split: keys_of(store, data.rows.of(split)) for split in (Split.TRAIN, Split.VALIDATION, Split.TEST)}
    images = {split: {uri for uri, _ in keys} for split, keys in by_split.items()}
    assert images[Split.TRAIN].isdisjoint(images[Split.VALIDATION] | images[Split.TEST])
    assert images[Split.VALIDATION].isdisjoint(images[Split.TEST])
    assert {index for split in (Split.VALIDATION, Split.TEST) for _, index in by_split[split]} == {0}
    there = {(row["uri"], row["augmentation"]) for row in store.scan(["uri", "augmentation"]).to_arrow().to_pylist()}
    assert by_split[Split.TRAIN] == {(uri, index) for uri, index in there if uri in images[Split.TRAIN]}
    assert len(by_split[Split.TRAIN]) > len(images[Split.TRAIN])
    alone = training_data(plain, split_by)
    assert data.images.counts() == alone.images.counts() == {split.word: len(uris) for split, uris in images.items()}
    assert (data.images.unlabelled, data.images.unsplit) == (alone.images.unlabelled, alone.images.unsplit)
    for split in images:
        assert data.images.class_counts(split).tolist() == alone.images.class_counts(split).tolist()


def test_streamed_rows_are_those_that_are_held(store: FeatureStore) -> None:
    held, streamed = (training_data(store, SplitBy.COLUMN, memory) for memory in (10**9, 5000))
    assert (held.rows.streamed, streamed.rows.streamed) == (False, True)
    for split in (Split.TRAIN, Split.VALIDATION, Split.TEST):
        found = [
            {
                int(number): feature.tobytes()
                for batch, numbers in data.rows.of(split).batches(4, np.random.default_rng(0))
                for feature, number in zip(batch, numbers, strict=True)
            }
            for data in (held, streamed)
        ]
        assert found[0] == found[1]
        assert len(found[0]) == len(held.rows.of(split))
    np.testing.assert_allclose(held.moments["avg"].mean, streamed.moments["avg"].mean, rtol=1e-4, atol=1e-6)


def test_a_classifier_trained_with_copies_fits_pictures_and_plain_features(
    store: FeatureStore, plain: FeatureStore, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics = train(
        f"--features={store.uri}",
        f"--output={tmp_path}/model",
        "--split=column",
        "--epochs=2",
        "--class_weight=balanced",
    )
    assert metrics["images"] == {"train": 6, "validation": 4, "test": 4}
    assert "split by column: train 6 (18 rows), validation 4, test 4." in capsys.readouterr().out
    card = Classifier.open(f"{tmp_path}/model").card
    assert (card.images, card.augmented_rows) == (metrics["images"], 12)
    assert "augmented rows" in (tmp_path / "model" / "report.html").read_text()
    inputs = (f"--features={store.uri}", f"--features={plain.uri}", f"--input={pictures}")
    found = []
    for number, given in enumerate(inputs):
        assert predict(tmp_path / "model", given, f"--output={tmp_path}/{number}") == 0
        found.append({row["uri"]: row["scores"] for row in rows(tmp_path / str(number))})
    assert [len(scores) for scores in found] == [26, 26, 14]
    assert found[0] == found[1]
    for uri, scores in found[2].items():
        np.testing.assert_allclose(scores, found[0][uri], atol=1e-5)
