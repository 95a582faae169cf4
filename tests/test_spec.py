"""Facts of the feature spec."""

import dataclasses
import json

import pytest

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
}
SAME_FEATURES = {"weights": "file:///copy-of-vgg16.h5"}


def test_a_spec_survives_json() -> None:
    assert FeatureSpec.from_json(RESOLVED.to_json()) == RESOLVED


def test_the_fingerprint_is_stable_over_releases() -> None:
    assert RESOLVED.fingerprint == "4130898fc1e7cb9b"


def test_a_spec_from_before_there_was_decode_is_read_with_its_fingerprint() -> None:
    fields = RESOLVED.to_dict()
    assert fields.pop("decode") == "exact"
    assert FeatureSpec.from_json(json.dumps(fields)).fingerprint == "4130898fc1e7cb9b"


@pytest.mark.parametrize("field", OTHER_VALUES)
def test_the_fingerprint_changes_with_what_decides_a_feature(field: str) -> None:
    assert dataclasses.replace(RESOLVED, **{field: OTHER_VALUES[field]}).fingerprint != RESOLVED.fingerprint


@pytest.mark.parametrize("field", SAME_FEATURES)
def test_the_fingerprint_ignores_where_the_same_weights_came_from(field: str) -> None:
    assert dataclasses.replace(RESOLVED, **{field: SAME_FEATURES[field]}).fingerprint == RESOLVED.fingerprint


def test_every_field_is_in_one_of_the_two_tables() -> None:
    fields = {field.name for field in dataclasses.fields(FeatureSpec)}
    # A feature's shape follows from the others, and float32 is the only precision so far.
    assert fields == OTHER_VALUES.keys() | SAME_FEATURES.keys() | {"feature_shapes", "precision"}


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


def test_weights_are_compared_by_their_bytes() -> None:
    asked = {"weights": "file:///elsewhere.h5", "weights_sha256": RESOLVED.weights_sha256}
    assert RESOLVED.differences(asked) == []
    assert RESOLVED.differences({**asked, "weights_sha256": "00"}) != []


def test_bytes_per_image_are_those_of_all_layers() -> None:
    assert RESOLVED.bytes_per_image == 4 * (18 * 18 * 256 + 4 * 4 * 512)
