"""Classifiers, conv bases and specs that somebody else has made: opened, or refused by one sentence."""

import dataclasses
import hashlib
import json
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import pytest

from pipelines import extract, finetune, inspect, predict
from schemas.classifiers import CARD_FILE, LABELS_FILE, Classifier, publish_classifier
from schemas.errors import ConvbaseError, RunFailed
from schemas.store import FeatureStore
from tests.commands.test_foreign_tables import append_to_log, metadata_of
from tests.conftest import train, write_pictures
from transforms.conv_bases import OpenVINOEngine
from transforms.conv_bases.published import damaged_files, fetch_published, is_published
from transforms.finetuning.unfreezing import open_network
from transforms.origins import CONV_BASE_FILES

Change = Callable[[Path], None]

# What no file of JSON may hold, whatever it is for.
TEXTS: dict[str, bytes] = {
    "empty": b"", "cut off": b'{"a": ', "a list": b"[]", "null": b"null", "a number": b"7", "a text": b'"x"',
    "not UTF-8": b"\xff\xfe\x00", "lists in lists": b"[" * 100_000, "objects in objects": b'{"a":' * 100_000,
    "5,000 digits": b'{"a": ' + b"9" * 5_000 + b"}", "no fields": b"{}", "zeros": bytes(100),
}  # fmt: skip
VALUES: tuple[object, ...] = (
    None, {}, [], "x", "../../x", -1, 1.5, True, 10**400, float("nan"), [[]], [None], {"a": {}}, [1, 2, 3], ["a", "a"],
    json.loads("[" * 500 + "]" * 500),
)  # fmt: skip


@pytest.fixture(scope="module")
def made(small_store: FeatureStore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store, pictures, and a classifier; do not change it."""
    folder = tmp_path_factory.mktemp("made")
    shutil.copytree(small_store.uri.removeprefix("file://"), folder / "store")
    write_pictures(folder / "pictures", 2)
    train(f"--features={folder}/store", f"--output={folder}/model", "--validation_fraction=0", "--test_fraction=0")
    return folder


@pytest.fixture
def model(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made / "model", tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def store(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made / "store", tmp_path / "store")
    return tmp_path / "store"


def sentence(error: ConvbaseError) -> str:
    text = str(error)
    assert "\n" not in text
    assert 10 < len(text) < 1000, text
    return text


def put(model: Path, name: str, content: bytes) -> None:
    """Puts a file into a classifier as whoever makes one does: its card says that it belongs there."""
    classifier = Classifier.open(str(model))
    contents = {file: classifier.files.read(file) for file in classifier.files.by_name}
    publish_classifier(str(model), classifier.card, {**contents, name: content})


def predicts(made: Path, model: Path, *, from_features: bool = False) -> None:
    source = f"--features={made}/store" if from_features else f"--input={made}/pictures"
    assert predict.main([f"--model={model}", source, f"--output={model.parent}/predictions"]) == 0


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("name", [CARD_FILE, LABELS_FILE])
def test_texts_that_are_none_of_a_classifier(name: str, text: str, made: Path, model: Path) -> None:
    if name == CARD_FILE:
        (model / name).write_bytes(TEXTS[text])
    else:
        put(model, name, TEXTS[text])
    commands = (
        lambda: predicts(made, model),
        lambda: finetune.main(
            [f"--model={model}", f"--input={made}/pictures", f"--output={model}-2", "--unfreeze_from=x"]
        ),
    )
    for command in commands:
        with pytest.raises(ConvbaseError) as raised:
            command()
        assert name in sentence(raised.value)


def test_a_card_of_100_megabytes_is_not_read(made: Path, model: Path) -> None:
    with (model / CARD_FILE).open("ab") as file:
        file.truncate(100_000_000)
    with pytest.raises(ConvbaseError, match="more than 16,777,216 bytes"):
        predicts(made, model)


def places(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The places in a JSON value, as paths; of lists the first element's."""
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*path, key))


def with_value(values: Any, path: tuple[str | int, ...], value: object) -> Any:
    """JSON values with another one at a path, or without what is there for `...`."""
    changed = json.loads(json.dumps(values))
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    if value is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return changed


def test_whatever_stands_in_a_card_it_is_read_or_refused_by_a_sentence(model: Path) -> None:
    """Every value of every field, its checksum put right, in its place or in place of another."""
    card = json.loads((model / CARD_FILE).read_text())
    opened = refused = 0
    for path in places(card):
        for value in (*VALUES, ...):
            changed = with_value(card, path, value)
            changed.pop("card_sha256", None)
            (model / CARD_FILE).write_text(json.dumps(changed))
            try:
                found = Classifier.open(str(model)).card
            except ConvbaseError as error:
                sentence(error)
                refused += 1
            else:
                assert dataclasses.replace(found).to_json()
                opened += 1
    assert opened > 50
    assert refused > 500


@pytest.mark.parametrize(
    "text",
    [
        '{"kind": "ternary", "classes": ["a", "b"]}', '{"kind": "binary", "classes": ["a"]}',
        '{"kind": "binary", "classes": ["a", "b", "c"]}', '{"kind": "multi-class", "classes": ["a", "a", "b"]}',
        '{"kind": "multi-class", "classes": []}', '{"kind": "multi-class", "classes": "abc"}',
        '{"kind": "multi-class", "classes": ["a", null, "b"]}', '{"kind": ["binary"], "classes": ["a", "b"]}',
    ],
)  # fmt: skip
def test_labels_that_are_none(text: str, made: Path, model: Path) -> None:
    put(model, LABELS_FILE, text.encode())
    with pytest.raises(ConvbaseError, match=r"labels.json"):
        predicts(made, model)


def test_labels_of_another_number_are_refused(made: Path, model: Path) -> None:
    put(model, LABELS_FILE, b'{"kind": "multi-class", "classes": ["a", "b", "c", "d"]}')
    for from_features in (False, True):
        with pytest.raises(ConvbaseError, match=r"makes \(3,\) numbers; by the card they are 4"):
            predicts(made, model, from_features=from_features)


XML = b'<?xml version="1.0"?>'
NETWORKS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "no text": ("xml", lambda _: b""),
    "no XML": ("xml", lambda _: b"x" * 1000),
    "other XML": ("xml", lambda _: XML + b"<html></html>"),
    "no layers": ("xml", lambda _: XML + b'<net name="a" version="11"><layers/><edges/></net>'),
    "an entity": ("xml", lambda _: XML + b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><net>&x;</net>'),
    "XML in XML": ("xml", lambda _: XML + b"<net>" * 100_000),
    "cut off": ("xml", lambda content: content[: len(content) // 2]),
    "an operation that nobody knows": ("xml", lambda content: content.replace(b'type="MatMul"', b'type="Evil"')),
    "weights beyond the file": ("xml", lambda content: content.replace(b'offset="0"', b'offset="999999999999"')),
    "weights before the file": ("xml", lambda content: content.replace(b'offset="0"', b'offset="-8"')),
    "weights of another size": ("xml", lambda content: content.replace(b'size="', b'size="9')),
    "no weights": ("bin", lambda _: b""),
    "half of the weights": ("bin", lambda content: content[: len(content) // 2]),
}


@pytest.mark.parametrize("case", NETWORKS)
@pytest.mark.parametrize("name", ["end_to_end", "classifier"])
def test_networks_that_are_none(name: str, case: str, made: Path, model: Path) -> None:
    ending, change = NETWORKS[case]
    file = f"openvino/{name}.{ending}"
    put(model, file, change((model / file).read_bytes()))
    with pytest.raises(ConvbaseError) as raised:
        predicts(made, model, from_features=name == "classifier")
    assert f"{name}.xml" in sentence(raised.value)


def test_a_network_of_other_pictures_is_refused(made: Path, model: Path) -> None:
    for ending in ("xml", "bin"):
        put(model, f"openvino/end_to_end.{ending}", (model / f"openvino/classifier.{ending}").read_bytes())
    with pytest.raises(
        ConvbaseError, match=r"end_to_end.xml is not the file .* by the card they are 3 from \(32, 32, 3\)"
    ):
        predicts(made, model)


def rezipped(path: Path, change: Callable[[str, bytes], bytes | None]) -> None:
    """Writes a `.keras` file again with other members."""
    with zipfile.ZipFile(path) as old:
        members = {name: change(name, old.read(name)) for name in old.namelist()}
    with zipfile.ZipFile(path, "w") as new:
        for name, content in members.items():
            if content is not None:
                new.writestr(name, content)


def with_config(change: Callable[[dict[str, Any]], object]) -> Change:
    def of_config(name: str, content: bytes) -> bytes:
        if name != "config.json":
            return content
        config = json.loads(content)
        change(config)
        return json.dumps(config).encode()

    return lambda path: rezipped(path, of_config)


def put_lambda(path: Path) -> None:
    """A layer whose code makes a file beside the model."""
    code = f"(lambda path: lambda x: [x, open(path, 'w').close()][0])({str(path.with_name('ran'))!r})"
    inputs = keras.Input((32, 32, 3))
    keras.Model(inputs, keras.layers.Lambda(eval(code))(inputs)).save(path)
    path.with_name("ran").unlink()


def of_class(module: str, name: str) -> Change:
    return with_config(lambda config: config.update(module=module, class_name=name, registered_name=name))


KERAS: dict[str, Change] = {
    "empty": lambda path: path.write_bytes(b""),
    "no zip": lambda path: path.write_bytes(b"x" * 1000),
    "half a zip": lambda path: path.write_bytes(path.read_bytes()[:-500]),
    "a lambda": put_lambda,
    "a class of Python": of_class("os", "system"),
    "a class of nobody": of_class("evil", "Model"),
    "no model": of_class("keras.layers", "Dense"),
    "an optimizer": of_class("keras.optimizers", "Adam"),
    "a config that is a list": lambda path: rezipped(path, lambda n, c: b"[]" if n == "config.json" else c),
    "a config that is none": lambda path: rezipped(path, lambda n, c: b"{" if n == "config.json" else c),
    "a config of lists in lists": lambda path: rezipped(path, lambda n, c: b"[" * 99_999 if n == "config.json" else c),
    "no config": lambda path: rezipped(path, lambda n, c: None if n == "config.json" else c),
    "no weights": lambda path: rezipped(path, lambda n, c: None if n == "model.weights.h5" else c),
    "weights that are none": lambda path: rezipped(path, lambda n, c: b"x" if n == "model.weights.h5" else c),
    "no layers": with_config(lambda config: config["config"].update(layers=[])),
    "layers that are none": with_config(lambda config: config["config"].update(layers=[7])),
    "an input of nothing": with_config(lambda config: config["config"]["layers"][0]["config"].update(batch_shape=[])),
    "an input of 10^12 pixels": with_config(
        lambda config: config["config"]["layers"][0]["config"].update(batch_shape=[None, 10**6, 10**6, 3])
    ),
    "one layer": lambda path: keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save(path),
}


@pytest.mark.parametrize("case", KERAS)
def test_keras_files_that_are_no_network_run_nothing(case: str, model: Path) -> None:
    path = model / "end_to_end.keras"
    KERAS[case](path)
    with pytest.raises(RunFailed) as raised:
        open_network(path)
    assert "end_to_end.keras" in sentence(raised.value)
    assert not path.with_name("ran").exists()


def test_fine_tuning_a_lambda_is_refused(made: Path, model: Path, tmp_path: Path) -> None:
    put_lambda(tmp_path / "lambda.keras")
    put(model, "end_to_end.keras", (tmp_path / "lambda.keras").read_bytes())
    arguments = [
        f"--model={model}",
        f"--input={made}/store/../pictures",
        f"--output={tmp_path}/tuned",
        "--labels_from=parent",
    ]
    with pytest.raises(ConvbaseError) as raised:
        finetune.main([*arguments, "--unfreeze_from=conv_pw_13"])
    sentence(raised.value)
    assert not (tmp_path / "ran").exists()


def without_list_in_the_table(store: Path) -> FeatureStore:
    """A store as older versions made it: only `published.json` says what the files of the base are."""
    entry = store / "features" / "_delta_log" / f"{0:020}.json"
    actions = [json.loads(line) for line in entry.read_text().splitlines()]
    for action in actions:
        if "metaData" in action:
            del action["metaData"]["configuration"]["convbase.conv_base_files"]
    entry.write_text("".join(json.dumps(action) + "\n" for action in actions))
    return FeatureStore.open(str(store))


def test_whatever_stands_in_the_list_of_a_base_it_is_read_or_refused_by_a_sentence(store: Path, tmp_path: Path) -> None:
    base = without_list_in_the_table(store).conv_base()
    assert base.files == ()
    file = Path(base.uri.removeprefix("file://"), "published.json")
    listed = json.loads(file.read_text())
    texts = [*TEXTS.values()]
    texts += [
        json.dumps(with_value(listed, path, value)).encode() for path in places(listed) for value in (*VALUES, ...)
    ]
    refused = 0
    for text in texts:
        file.write_bytes(text)
        is_published(base)
        damaged_files(base)
        try:
            fetch_published(base, CONV_BASE_FILES, tmp_path)
        except ConvbaseError as error:
            sentence(error)
            refused += 1
    assert refused > 100


@pytest.mark.parametrize("name", ["convbase.spec", "convbase.conv_base_files"])
def test_whatever_stands_in_the_properties_of_a_store_it_is_read_or_refused_by_a_sentence(
    name: str, store: Path
) -> None:
    metadata = metadata_of(store / "features")
    right = json.loads(metadata["configuration"][name])
    texts = [text.decode("latin-1") for text in TEXTS.values()]
    texts += [json.dumps(with_value(right, path, value)) for path in places(right) for value in (*VALUES, ...)]
    entry = store / "features" / "_delta_log" / f"{1:020}.json"
    entry.unlink()
    refused = 0
    for text in texts:
        metadata["configuration"][name] = text
        append_to_log(store / "features", {"metaData": metadata})
        try:
            FeatureStore.open(str(store)).conv_base()
        except ConvbaseError as error:
            sentence(error)
            refused += 1
        entry.unlink()
    assert refused > 60


def test_the_table_says_what_the_files_of_a_base_are(store: Path, made: Path, tmp_path: Path) -> None:
    """Another network, with a list beside it that vouches for it, is refused by whoever loads the base."""
    opened = FeatureStore.open(str(store))
    folder = Path(opened.conv_base().uri.removeprefix("file://"))
    (weights,) = folder.glob("base-*.bin")
    content = bytearray(weights.read_bytes())
    content[len(content) // 8 * 4] ^= 1
    weights.write_bytes(content)
    listed = json.loads((folder / "published.json").read_text())
    listed["sha256"]["base.bin"] = hashlib.sha256(weights.read_bytes()).hexdigest()
    (folder / "published.json").write_text(json.dumps(listed))
    assert damaged_files(opened.conv_base()) == [weights.name, "published.json"]
    with pytest.raises(RunFailed, match="its SHA-256 differs"):
        OpenVINOEngine(opened.conv_base(), 1)
    assert OpenVINOEngine(without_list_in_the_table(store).conv_base(), 1), "So it was before."


def test_a_store_of_an_older_version_is_read_and_its_next_run_has_the_table_name_the_files(
    store: Path, made: Path
) -> None:
    older = without_list_in_the_table(store)
    expected = {file.name for file in FeatureStore.open(str(made / "store")).conv_base().files}
    assert OpenVINOEngine(older.conv_base(), 1)
    assert inspect.main([str(store)]) == 0
    assert older.conv_base().files == ()
    assert extract.main([f"--input={made}/pictures", f"--output={store}"]) == 0
    assert {file.name for file in older.conv_base().files} == expected == {*CONV_BASE_FILES}
    version = older.features().version()
    assert extract.main([f"--input={made}/pictures", f"--output={store}"]) == 0
    assert older.features().version() == version, "It is said once."
