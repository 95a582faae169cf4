"""Serialisable dataclasses: the text of files that exist, to the byte, and what is refused."""

import dataclasses
import json
import re

import pytest

from schemas.augmentation import AugmentedRows
from schemas.classifiers import FineTuning, LabelKind, LabelSet, ModelCard, Recipe
from schemas.errors import FailureCode
from schemas.fragments import Fragment, TableName, Totals
from schemas.measures import Measures
from schemas.serialisation import Serialisable
from schemas.spec import FeatureSpec
from schemas.storage import PublishedFile

SPEC = FeatureSpec(
    conv_base="MobileNet",
    conv_base_args={"alpha": 0.25},
    weights="file:///w.h5",
    weights_sha256="ab",
    input_shape=(96, 96, 3),
    layers=("conv", "fc"),
    pooling="none",
    feature_shapes=((3, 3, 256), (10,)),
    augmentation=AugmentedRows(rows=3, rotation=15.0),
)
LABELS = LabelSet(LabelKind.BINARY, ("cät", "dog"))
CARD = ModelCard(
    model_id="0123456789abcdef",
    created_at="2026-01-31T00:00:00+00:00",
    spec=FeatureSpec(
        "VGG16", weights="none", weights_sha256="ab", input_shape=(32, 32, 3), layers=("a",), feature_shapes=((8,),)
    ),
    layer="a",
    feature_shape=(8,),
    store="file:///store",
    table_version=4,
    labels_from="column label",
    split_by="hash",
    images={"train": 3},
    left_out={"unlabelled": 0},
    images_by_class={"cat": {"train": 1}},
    recipe={"hidden": [64]},
    batch_size=32,
    learning_rate=0.005,
    epochs=10,
    best_epoch=7,
    streamed=False,
    memory_bytes=10,
    peak_memory_bytes=20,
    seconds=1.25,
    metrics={"test_auc": None},
    options={"input": ["a"]},
    versions={"keras": "3.15.0"},
    files=(PublishedFile("labels.json", "labels.json", 3, "cd"),),
)
CARD_TEXT = """\
{
  "model_id": "0123456789abcdef",
  "created_at": "2026-01-31T00:00:00+00:00",
  "spec": {
    "conv_base": "VGG16",
    "conv_base_args": {},
    "weights": "none",
    "weights_sha256": "ab",
    "include_top": false,
    "input_shape": [
      32,
      32,
      3
    ],
    "layers": [
      "a"
    ],
    "pooling": "avg",
    "precision": "float32",
    "interpolation": "bilinear",
    "exif_orientation": "apply",
    "decode": "exact",
    "truncated": "fail",
    "resize": "stretch",
    "crop_ratio": 1.0,
    "preprocess": null,
    "feature_shapes": [
      [
        8
      ]
    ],
    "augmentation": null
  },
  "layer": "a",
  "feature_shape": [
    8
  ],
  "store": "file:///store",
  "table_version": 4,
  "labels_from": "column label",
  "split_by": "hash",
  "images": {
    "train": 3
  },
  "left_out": {
    "unlabelled": 0
  },
  "images_by_class": {
    "cat": {
      "train": 1
    }
  },
  "recipe": {
    "hidden": [
      64
    ]
  },
  "batch_size": 32,
  "learning_rate": 0.005,
  "epochs": 10,
  "best_epoch": 7,
  "streamed": false,
  "memory_bytes": 10,
  "peak_memory_bytes": 20,
  "seconds": 1.25,
  "metrics": {
    "test_auc": null
  },
  "options": {
    "input": [
      "a"
    ]
  },
  "versions": {
    "keras": "3.15.0"
  },
  "folds": 0,
  "augmented_rows": 0,
  "fine_tuning": null,
  "files": [
    {
      "name": "labels.json",
      "path": "labels.json",
      "size": 3,
      "sha256": "cd"
    }
  ],
  "fingerprint": "03a23c5b7167116c",
  "card_sha256": "4488a370f333c65141b98f651fc44a1742140a62fd32bf0b98a6e5f0cf6b3093"
}"""
# The card as it was written before it listed its files, and before pictures were cropped.
OLD_CARD_TEXT = (
    re.sub(
        r'"files": \[.*?\n  \],\n  |"(resize|crop_ratio|preprocess)": .*?\n    ', "", CARD_TEXT, flags=re.S
    ).partition(',\n  "card_sha256"')[0]
    + "\n}"
)
TEXTS = [
    (
        SPEC,
        (
            '{"augmentation": {"flip_horizontal": true, "flip_vertical": false, "height_shift": 0.2, "rotation": 15.0, '
            '"rows": 3, "seed": 0, "shear": 0.2, "width_shift": 0.2, "zoom": 0.2}, "conv_base": "MobileNet", '
            '"conv_base_args": {"alpha": 0.25}, "crop_ratio": 1.0, "decode": "exact", "exif_orientation": "apply", '
            '"feature_shapes": [[3, 3, 256], [10]], "include_top": false, "input_shape": [96, 96, 3], '
            '"interpolation": "bilinear", "layers": ["conv", "fc"], "pooling": "none", "precision": "float32", '
            '"preprocess": null, "resize": "stretch", "truncated": "fail", "weights": "file:///w.h5", '
            '"weights_sha256": "ab"}'
        ),
    ),
    (
        FeatureSpec("VGG16"),
        (
            '{"augmentation": null, "conv_base": "VGG16", "conv_base_args": {}, "crop_ratio": 1.0, '
            '"decode": "exact", "exif_orientation": "apply", "feature_shapes": [], "include_top": false, '
            '"input_shape": null, '
            '"interpolation": "bilinear", "layers": [], "pooling": "avg", "precision": "float32", '
            '"preprocess": null, "resize": "stretch", "truncated": "fail", "weights": "imagenet", '
            '"weights_sha256": null}'
        ),
    ),
    (LABELS, '{\n  "kind": "binary",\n  "classes": [\n    "c\\u00e4t",\n    "dog"\n  ]\n}'),
    (
        Measures(10, 2, 0.5, 1, 0.25, {"host/7": 1}, 1.5),
        (
            '{"batches": 1, "bytes_read": 10, "decode_seconds": 0.5, "decoded": 2, "infer_seconds": 0.25, '
            '"load_seconds": 1.5, "loads": {"host/7": 1}, "reads": 0, "retries": 0, "throttled": 0, '
            '"waited_milliseconds": 0.0}'
        ),
    ),
    (
        Totals(5, 1, 2, 3, {"truncated": 2, "not_found": 1}, 1000, 4),
        (
            '{"adopted": 2, "augmented": 4, "extracted": 5, "failed": 3, "failures_by_code": {"not_found": 1, '
            '"truncated": 2}, "feature_bytes": 1000, "labels_updated": 0, "reused": 1}'
        ),
    ),
    (
        Fragment(TableName.FAILURES, "ds=2026-01-31/x", 3, 99, "{}", True, ((FailureCode.NOT_FOUND, 3),)),
        (
            '{"adopted": false, "augmented": 0, "failures_by_code": [["not_found", 3]], "given": null, '
            '"path": "ds=2026-01-31/x", "reused": false, "rows": 3, "sha256": "", "size": 99, "statistics": "{}", '
            '"supersedes": true, "table": "failures"}'
        ),
    ),
    (CARD, CARD_TEXT),
]
FIELDS = [
    (
        Recipe(hidden=(64, 32)),
        (
            '{"hidden": [64, 32], "activation": "relu", "dropout": null, "l2": null, "standardise": true, '
            '"map_reduction": "avg", "optimizer": null, "learning_rate": null, "batch_size": null, "epochs": null, '
            '"patience": null, "class_weight": "none", "seed": 0}'
        ),
    ),
    (
        FineTuning("conv_pw_13"),
        (
            '{"unfreeze_from": "conv_pw_13", "optimizer": "rmsprop", "learning_rate": 1e-05, "warmup_epochs": 0, '
            '"decay": "none", "epochs": 30, "patience": 5, "batch_size": 20, "class_weight": "none", '
            '"augmentation": {"rotation": 40.0, "width_shift": 0.2, "height_shift": 0.2, "shear": 0.2, "zoom": 0.2, '
            '"flip_horizontal": true, "flip_vertical": false, "seed": 0}, "mixed_precision": false, "seed": 0}'
        ),
    ),
]


def kinds(table: list[tuple[Serialisable, str]]) -> list[object]:
    return [pytest.param(*row, id=type(row[0]).__name__) for row in table]


@pytest.mark.parametrize(("value", "text"), kinds(TEXTS))
def test_the_text_is_that_of_files_that_exist(value: Serialisable, text: str) -> None:
    assert value.to_json() == text
    read = type(value).from_json(text)
    assert read == value
    assert read.to_json() == text


@pytest.mark.parametrize(("value", "text"), kinds(FIELDS))
def test_fields_are_json_values_in_their_order(value: Serialisable, text: str) -> None:
    assert json.dumps(value.to_dict()) == text
    assert type(value).from_dict(json.loads(text)) == value


def test_a_card_without_a_list_of_files_is_read() -> None:
    assert ModelCard.from_json(OLD_CARD_TEXT) == dataclasses.replace(CARD, files=())


def test_a_card_that_was_altered_is_refused() -> None:
    with pytest.raises(ValueError, match="Its SHA-256 differs"):
        ModelCard.from_json(CARD_TEXT.replace('"table_version": 4', '"table_version": 5'))


def test_a_field_with_a_default_may_be_missing() -> None:
    text = '{"path": "x.parquet", "rows": 3, "size": 99, "statistics": "{}", "table": "features"}'
    assert Fragment.from_json(text) == Fragment(TableName.FEATURES, "x.parquet", 3, 99, "{}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"kind": "binary"}', "missing or unknown: classes"),
        ('{"kind": "binary", "classes": [], "colour": 1}', "missing or unknown: colour"),
        ('{"kind": "ternary", "classes": []}', "ternary"),
        ("[]", "no object"),
        ('{"kind": "bina', "Unterminated"),
        ("", "Expecting value"),
    ],
)
def test_what_is_no_such_json_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LabelSet.from_json(text)
