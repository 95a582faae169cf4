"""Wrong inputs, a row each: one sentence with the remedy, exit code 2, and nothing is made."""

import gzip
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines import backfill, extract, inspect, maintain, predict, template, train
from schemas.errors import UsageError
from tests.conftest import write_pictures
from tests.support.archives import write_zip
from tests.support.data_sets import example, write_records

COMMANDS = {
    "extract": extract, "backfill": backfill, "inspect": inspect, "maintain": maintain, "predict": predict,
    "template": template, "train": train,
}  # fmt: skip
LONGEST = 400
LONG = "x" * 3000

# The command, its options, what its sentence says, and the remedy that it names.
WRONG = {
    "nothing there": ("extract --input=nowhere", "There is no input at nowhere", ""),
    "a glob of nothing": ("extract --input=photos/*.tiff", "No file matches", "--include_hidden"),
    "an empty folder": ("extract --input=empty", "There is no image in", "--extensions"),
    "only hidden files": ("extract --input=hidden", "There is no image in", "--include_hidden"),
    "other extensions": ("extract --input=photos --extensions=tiff", "ending in tiff", "--extensions"),
    "all is excluded": ("extract --input=photos --exclude=*.jpg --extensions=png", "There is no image", "--extensions"),
    "an unknown protocol": ("extract --input=s4://bucket/photos", "cannot be read", ""),
    "a sheet": ("extract --input=m.xlsx", "a format that is not read", "save the sheet as .csv"),
    "json": ("extract --input=m.json", "a format that is not read", "as .jsonl"),
    "feather": ("extract --input=m.feather", "a format that is not read", "as .parquet"),
    "no uri": ("extract --input=url.csv", "has no column 'uri' (its columns: url, label)", "--uri_column=NAME"),
    "no such uri column": ("extract --input=m.csv --uri_column=path", "has no column 'path'", "--uri_column=NAME"),
    "no such label": ("extract --input=m.csv --label_column=breed", "no column 'breed'", "--label_column=NAME"),
    "no such split": ("extract --input=m.csv --split_column=fold", "no column 'fold'", "--split_column=NAME"),
    "one column for two": (
        "extract --input=m.csv --label_column=uri",
        "have to name different columns",
        "--label_column",
    ),
    "no such carried column": (
        "extract --input=m.csv --carry=camera",
        "--carry names camera, which no manifest has",
        "they have uri, label, note",
    ),
    "the label in capitals": ("extract --input=Label.csv", "did you mean 'label'?", "--label_column=Label"),
    "two columns alike": ("extract --input=alike.csv", "cannot tell from one another", "--carry"),
    "a column twice": ("extract --input=twice.csv", "has the column 'note' several times", "rename"),
    "the store's own names": ("extract --input=own.csv", "store's own: width, sha256", "--carry=none"),
    "an empty file": ("extract --input=nothing.csv", "is empty", "has to have columns"),
    "an empty list": ("extract --input=nothing.txt", "names no image", "it has no row"),
    "a header alone": ("extract --input=header.csv", "names no image", "it has no row"),
    "a long row": ("extract --input=long.csv", "Line 3 of the manifest", "every row has to have as many"),
    "a short row": ("extract --input=short.csv", "has 1 cells and its header has 2", "every row has to have as many"),
    "no utf-8": ("extract --input=latin.csv", "is not UTF-8", "--encoding=latin-1"),
    "a list that is no utf-8": ("extract --input=latin.txt", "Line 2 of the manifest", "--encoding=latin-1"),
    "the wrong encoding": ("extract --input=latin.csv --encoding=utf-8", "is not UTF-8", "--encoding=latin-1"),
    "no encoding": ("extract --input=m.csv --encoding=klingon", "'klingon' is not an encoding", "such as utf-8"),
    "half a gzip": ("extract --input=half.csv.gz", "cannot be read", ""),
    "no gzip": ("extract --input=no.csv.gz", "cannot be read", ""),
    "no parquet": ("extract --input=no.parquet", "cannot be read", ""),
    "no json": ("extract --input=no.jsonl", "Line 2 of the manifest", "is no JSON"),
    "json without objects": ("extract --input=list.jsonl", "Line 1 of the manifest", 'as {"uri": …} is'),
    "no labels": ("extract --input=labels.parquet", "'label' (struct", "--label_column can name another one"),
    "structs and maps": ("extract --input=nested.parquet", "'a' (struct<x: int64>), 'b' (map<", "--carry=none"),
    "a split by a folder": ("extract --input=hive", "has the split 'mine'", "train, validation or test"),
    "a table in a folder": ("extract --input=tables", "is not UTF-8", "--encoding=latin-1"),
    "types that differ": (
        "extract --input=m.csv --input=number.parquet",
        "disagree on column 'note'",
        "leave it out with --carry",
    ),
    "two tables in a folder": ("extract --input=several", "several tables of its images", "leave one of them"),
    "a manifest in an archive": ("extract --input=zip://m.csv::m.zip", "is in an archive", "unpack it"),
    "an archive of manifests": ("extract --input=m.zip", "There is no image in", "--extensions"),
    "an archive of another kind": ("extract --input=a.tar.xz", "a kind that is not read", "write it as .zip, .tar"),
    "half an archive": ("extract --input=half.zip", "The archive is damaged", ""),
    "several images a row": ("extract --input=lists.parquet", "several images a row", "a row for each image"),
    "a feature that no record has": (
        "extract --input=a.tfrecord --label_column=bread",
        "has a feature 'bread'",
        "did you mean 'breed'; --label_column=NAME",
    ),
    "no records": ("extract --input=no.tfrecord", "there is no record at byte 0", ""),
    "all missing": ("extract --input=gone.csv", "The first 2 images are all missing", "--uri_prefix"),
    "relative to here": ("extract --input=lists/here.csv", "is there", "--uri_prefix="),
    "backslashes": ("extract --input=lists/windows.csv", "names are taken literally", "write / instead of \\"),
    "a long name": (f"extract --input={LONG}", "", ""),
    "a long column": ("extract --input=wide.csv", "has no column 'uri'", "--uri_column=NAME"),
    "a date that is none": ("backfill --input=photos/{day}", "the date is {ds}", "{ds"),
    "no date in the input": ("backfill --input=photos --start=2026-01-01", "has no {ds} in it", "{ds}"),
    "coverage of nothing": ("inspect store --coverage", "There is no feature store at store", ""),
    "a label that nobody knows": ("extract --input=photos --labels_from=name", "invalid choice: 'name'", "--help"),
    "an option mistyped": ("extract --input=photos --exlude=x", "the argument '--exlude=x'", "did you mean --exclude?"),
    "a hidden that is neither": ("extract --input=photos --include_hidden=maybe", "is not true or false", "--help"),
    "no classifier": ("predict --model=model --input=photos --output=out", "model", ""),
    "no features": ("train --features=store --output=model", "There is no feature store at store", ""),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Inputs that are wrong, each in its own way."""
    root = tmp_path_factory.mktemp("wrong")
    write_pictures(root / "photos", 2)
    write_pictures(root / "several", 1)
    for name in ("empty", "hidden/.cache", "lists", "hive/split=mine", "tables/train"):
        (root / name).mkdir(parents=True)
    for name in ("hidden/.cache", "tables/train"):
        write_pictures(root / name, 1)
    good = "photos/000.jpg"
    texts = {
        "m.csv": f"uri,label,note\n{good},cat,x\n",
        "url.csv": f"url,label\n{good},cat\n",
        "Label.csv": f"uri,Label\n{good},cat\n",
        "alike.csv": f"uri,note,Note\n{good},1,2\n",
        "twice.csv": f"uri,note,note\n{good},1,2\n",
        "own.csv": f"uri,width,sha256\n{good},1,2\n",
        "nothing.csv": "",
        "nothing.txt": "\n  \n",
        "header.csv": "uri,label\n",
        "long.csv": f"uri,label\n{good},cat\n{good},cat,black\n",
        "short.csv": f"uri,label\n{good},cat\n{good}\n",
        "no.csv.gz": "uri\n",
        "no.parquet": "uri\n",
        "no.jsonl": f'{{"uri": "{good}"}}\nuri\n',
        "list.jsonl": f'["{good}"]\n',
        "gone.csv": "uri\nx.jpg\ny.jpg\n",
        "lists/here.csv": f"uri\n{good}\n",
        "lists/windows.csv": "uri\n..\\photos\\000.jpg\n",
        "wide.csv": ",".join(f"{LONG[:900]}{number}" for number in range(300)) + "\n",
        "m.xlsx": "",
        "a.tar.xz": "",
        "no.tfrecord": "no record, but some text",
        "several/metadata.csv": "file_name,label\n000.jpg,cat\n",
        "several/metadata.jsonl": '{"file_name": "000.jpg", "label": "dog"}',
        "m.json": "[]",
        "m.feather": "",
        "hive/_SUCCESS": "",
        "hive/split=mine/part-0.csv": f"uri\n{good}\n",
    }
    for name, text in texts.items():
        (root / name).write_text(text)
    (root / "latin.csv").write_bytes(f"uri,label\n{good},caf\xe9\n".encode("latin-1"))
    (root / "latin.txt").write_bytes(f"{good}\ncaf\xe9.jpg\n".encode("latin-1"))
    (root / "tables" / "train" / "metadata.csv").write_bytes("file_name,label\n0.jpg,caf\xe9\n".encode("latin-1"))
    (root / "half.csv.gz").write_bytes(gzip.compress(os.urandom(10_000).hex().encode())[:5000])
    (root / "half.zip").write_bytes(write_zip(root / "m.zip", {"m.csv": b"uri"}).read_bytes()[:-20])
    write_records(root / "a.tfrecord", [example({"image/encoded": b"x", "breed": b"pug"})])
    pq.write_table(pa.table({"images": pa.array([[b"x"]], pa.list_(pa.binary()))}), root / "lists.parquet")
    pq.write_table(pa.table({"uri": [good], "label": [{"a": 1}]}), root / "labels.parquet")
    pq.write_table(pa.table({"uri": [good], "note": [1]}), root / "number.parquet")
    maps = pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64()))
    pq.write_table(pa.table({"uri": [good], "a": [{"x": 1}], "b": maps}), root / "nested.parquet")
    return root


def test_there_are_many() -> None:
    assert len(WRONG) >= 40


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_input_is_one_sentence_with_the_remedy(
    case: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line, what, remedy = WRONG[case]
    monkeypatch.chdir(folder)
    before = sorted(folder.rglob("*"))
    command, *arguments = line.split()
    with pytest.raises(UsageError) as caught:
        COMMANDS[command].main(arguments)
    sentence = str(caught.value)
    assert what in sentence
    assert remedy in sentence
    assert caught.value.exit_code == 2
    assert len(sentence) <= LONGEST, sentence
    assert "\n" not in sentence
    assert sorted(folder.rglob("*")) == before
