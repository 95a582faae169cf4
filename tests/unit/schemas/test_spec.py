"""Facts of the feature spec."""

import dataclasses
import json

import pytest

from schemas.augmentation import AugmentedRows
from schemas.errors import InvalidSpec
from schemas.spec import FeatureSpec

RESOLVED = FeatureSpec(
    conv_base="VGG16",
    weights="file:///vgg16.h5",
    weights_sha256="ab" * 32,
    input_shape=(150, 150, 3),
    layers=("block3_pool", "block5_pool"),
    pooling="none",
    feature_shapes=((18, 18, 256), (4, 4, 512)),
)

OTHER_VALUES = {
    "conv_base": "VGG19",
    "conv_base_args": {"alpha": 0.5},
    "weights_sha256": "cd" * 32,
    "include_top": True,
    "input_shape": (224, 224, 3),
    "layers": ("block5_pool", "block3_pool"),
    "pooling": "max",
    "interpolation": "nearest",
    "exif_orientation": "ignore",
    "decode": "scaled",
    "truncated": "keep",
    "resize": "crop",
    "preprocess": "torch",
}
SAME_FEATURES = {"weights": "file:///copy-of-vgg16.h5", "augmentation": AugmentedRows(rows=3)}


@pytest.mark.parametrize("augmentation", [None, AugmentedRows(rows=3, rotation=15.0, seed=7)])
def test_a_spec_survives_json(augmentation: AugmentedRows | None) -> None:
    spec = dataclasses.replace(RESOLVED, augmentation=augmentation)
    assert FeatureSpec.from_json(spec.to_json()) == spec


def test_the_fingerprint_is_stable_over_releases() -> None:
    assert RESOLVED.fingerprint == "4130898fc1e7cb9b"


@pytest.mark.parametrize("field", ["decode", "truncated", "augmentation", "resize", "crop_ratio", "preprocess"])
def test_a_spec_from_before_there_was_a_field_is_read_with_its_fingerprint(field: str) -> None:
    fields = RESOLVED.to_dict()
    assert fields.pop(field) in {"exact", "fail", "stretch", 1.0, None}
    read = FeatureSpec.from_json(json.dumps(fields))
    assert (read, read.fingerprint) == (RESOLVED, "4130898fc1e7cb9b")


@pytest.mark.parametrize("field", OTHER_VALUES)
def test_the_fingerprint_changes_with_what_decides_a_feature(field: str) -> None:
    assert dataclasses.replace(RESOLVED, **{field: OTHER_VALUES[field]}).fingerprint != RESOLVED.fingerprint


@pytest.mark.parametrize("field", SAME_FEATURES)
def test_the_fingerprint_ignores_what_does_not_change_the_feature_of_a_picture(field: str) -> None:
    assert dataclasses.replace(RESOLVED, **{field: SAME_FEATURES[field]}).fingerprint == RESOLVED.fingerprint


def test_every_field_is_in_one_of_the_two_tables() -> None:
    fields = {field.name for field in dataclasses.fields(FeatureSpec)}
    # A feature's shape follows from the others, float32 is the only precision so far, and only crops have a ratio.
    assert fields == OTHER_VALUES.keys() | SAME_FEATURES.keys() | {"feature_shapes", "precision", "crop_ratio"}


def test_the_ratio_of_a_crop_is_in_the_fingerprint() -> None:
    crops = [dataclasses.replace(RESOLVED, resize="crop", crop_ratio=ratio).fingerprint for ratio in (0.875, 0.9, 1)]
    assert len({*crops}) == 3


SAVED = dataclasses.replace(RESOLVED, conv_base="mine.onnx", weights="file:///a/mine.onnx", preprocess="torch")


def test_a_saved_network_is_known_by_its_bytes_whatever_its_name() -> None:
    elsewhere = dataclasses.replace(SAVED, conv_base="copy.onnx", weights="s3://bucket/copy.onnx")
    assert elsewhere.fingerprint == SAVED.fingerprint
    asked = {"conv_base": "copy.onnx", "weights": "s3://bucket/copy.onnx", "weights_sha256": SAVED.weights_sha256}
    assert SAVED.differences(asked) == []
    assert SAVED.differences({**asked, "weights_sha256": "00"}) != []
    assert SAVED.differences({**asked, "conv_base": "copy.xml"}) != []
    assert dataclasses.replace(SAVED, conv_base="mine.xml").fingerprint != SAVED.fingerprint
    assert dataclasses.replace(SAVED, preprocess="none").fingerprint != SAVED.fingerprint


def test_an_open_spec_has_no_fingerprint() -> None:
    with pytest.raises(ValueError, match="resolved"):
        _ = FeatureSpec("VGG16").fingerprint


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("pooling", "mean", "pooling 'mean' is not one of none, avg, max."),
        ("precision", "float16", "precision 'float16' is not one of float32."),
        ("interpolation", "cubic", "interpolation 'cubic' is not one of"),
        ("decode", "fast", "decode 'fast' is not one of exact, scaled."),
        ("exif_orientation", "yes", "exif_orientation 'yes' is not one of apply, ignore."),
        ("input_shape", (32, 32, 1), "input_shape 32,32,1 must be height,width,3"),
        ("input_shape", (32, 32), "input_shape 32,32 must be height,width,3"),
        ("layers", ("a", "a"), "layers a,a names a layer twice."),
        ("resize", "fit", "resize 'fit' is not one of stretch, crop, pad."),
        ("crop_ratio", 0.5, "crop_ratio 0.5 must be above 0 and at most 1; it is for resize=crop."),
        (
            "preprocess",
            "imagenet",
            "preprocess 'imagenet' is not one of none, scale_1, scale_-1_1, caffe, torch, mean=…",
        ),
        ("preprocess", "mean=1,2,std=1,2", "preprocess 'mean=1,2,std=1,2' is not one of"),
    ],
)
def test_wrong_values_are_refused(field: str, value: object, sentence: str) -> None:
    with pytest.raises(InvalidSpec, match=sentence.replace("(", r"\(")):
        FeatureSpec("VGG16", **{field: value})


def test_differences_name_the_fields() -> None:
    assert RESOLVED.differences({"pooling": "max", "conv_base": "VGG16", "layers": ("block5_pool",)}) == [
        "pooling is none in the store, max was asked",
        "layers is block3_pool,block5_pool in the store, block5_pool was asked",
    ]


AUGMENTED = dataclasses.replace(RESOLVED, augmentation=AugmentedRows(rows=3, zoom=0.1))


@pytest.mark.parametrize(
    ("spec", "asked", "differences"),
    [
        (AUGMENTED, {"rows": 3}, []),
        (AUGMENTED, {"rows": 3, "zoom": 0.1}, []),
        (AUGMENTED, {"rows": 0}, ["augment is 3 in the store, 0 was asked"]),
        (
            AUGMENTED,
            {"rows": 2, "zoom": 0.2},
            ["augment is 3 in the store, 2 was asked", "augment_zoom is 0.1 in the store, 0.2 was asked"],
        ),
        (RESOLVED, {"rows": 0}, []),
        (RESOLVED, {"rows": 2, "zoom": 0.2}, ["augment is 0 in the store, 2 was asked"]),
    ],
)
def test_augmentations_are_compared_by_what_is_asked(
    spec: FeatureSpec, asked: dict[str, object], differences: list[str]
) -> None:
    assert sorted(spec.differences({"augmentation": asked})) == differences


def test_weights_are_compared_by_their_bytes() -> None:
    asked = {"weights": "file:///elsewhere.h5", "weights_sha256": RESOLVED.weights_sha256}
    assert RESOLVED.differences(asked) == []
    assert RESOLVED.differences({**asked, "weights_sha256": "00"}) != []


def test_bytes_per_image_are_those_of_all_layers() -> None:
    assert RESOLVED.bytes_per_image == 4 * (18 * 18 * 256 + 4 * 4 * 512)
