"""`FeatureSpec`: everything that decides the value of a feature, and the fingerprint of it.

Limits such as `max_pixels` are no part of it: they decide which images have features, not what the features are. The
augmentation is part of the spec and not of the fingerprint: it decides which rows there are besides those of the
pictures themselves, and these do not depend on it.
"""

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from schemas.augmentation import NO_ROWS, AugmentedRows
from schemas.errors import InvalidSpec
from schemas.serialisation import Serialisable

NO_WEIGHTS: Final = "none"
IMAGENET: Final = "imagenet"

POOLINGS: Final = ("none", "avg", "max")
FLOAT32: Final = "float32"
BFLOAT16: Final = "bfloat16"
TF32: Final = "tf32"
PRECISIONS: Final = (FLOAT32, BFLOAT16, TF32)
INTERPOLATIONS: Final = ("bilinear", "nearest", "bicubic", "hamming", "box", "lanczos")
EXIF_ORIENTATIONS: Final = ("apply", "ignore")
DECODINGS: Final = ("exact", "scaled")
TRUNCATIONS: Final = ("fail", "keep")
RESIZES: Final = ("stretch", "crop", "pad")
PREPROCESSINGS: Final = ("none", "scale_1", "scale_-1_1", "caffe", "torch")
_NUMBERS: Final = r"([0-9]*\.?[0-9]+)(,[0-9]*\.?[0-9]+,[0-9]*\.?[0-9]+)?"
_FLOAT: Final = r"-?[0-9]*\.?[0-9]+(e-?[0-9]+)?"
_FLOATS: Final = f"{_FLOAT}(,{_FLOAT},{_FLOAT})?"
PREPROCESS_PATTERN: Final = (
    f"{'|'.join(PREPROCESSINGS)}|mean={_NUMBERS},std={_NUMBERS}|scale={_FLOATS},offset={_FLOATS}"
)

# Files of saved networks that can be a conv base, by their endings.
KERAS_MODEL: Final = ".keras"
SAVED_FORMATS: Final = (KERAS_MODEL, ".onnx", ".xml")
# A folder that Keras Hub has saved (`save_to_preset`); as the prefix of its name.
KERAS_HUB: Final = "keras_hub:"

_CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "pooling": POOLINGS,
    "precision": PRECISIONS,
    "interpolation": INTERPOLATIONS,
    "exif_orientation": EXIF_ORIENTATIONS,
    "decode": DECODINGS,
    "truncated": TRUNCATIONS,
    "resize": RESIZES,
}
_NOT_IN_FINGERPRINT: Final = frozenset({"weights", "feature_shapes", "augmentation"})
# Fields that came after stores had been made: with these values a spec has the fingerprint that it had without them.
_ADDED_LATER: Final[Mapping[str, object]] = {
    "decode": "exact",
    "truncated": "fail",
    "resize": "stretch",
    "crop_ratio": 1.0,
    "preprocess": None,
}

# More than any base was trained with, and less than what ends a machine.
MOST_SIDE: Final = 16_384

ConvBaseArg: TypeAlias = bool | int | float | str
Shape: TypeAlias = tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class FeatureSpec(Serialisable):
    """Everything that decides the value of a feature.

    A spec may be written down with `input_shape`, `layers`, `weights_sha256` and `feature_shapes` left open; publishing
    the conv base fills them in (`is_resolved`), and only then is there a fingerprint.

    Attributes:
        conv_base: The name of a builder in `keras.applications`, such as `"VGG16"`, or that of the file of a saved
            network, such as `"mine.onnx"`, or that of a preset's folder, such as `"keras_hub:vit"`; which file that is,
            `weights_sha256` says, so the fingerprint knows no name.
        conv_base_args: Further keyword arguments of that builder, such as `{"alpha": 0.25}`.
        weights: `"none"` (random), `"imagenet"`, or the URI of a weights file or of the saved network. Where the
            weights came from; what counts for the fingerprint is their SHA-256.
        weights_sha256: SHA-256 of that file in hex, or of the tensors where there is no file (`"none"`).
        include_top: Whether the dense classifier is kept; its layers can then be asked for as well.
        input_shape: (height, width, 3) of the pixels that the base is given.
        layers: The layers whose outputs are the features, one column each; the last layer when left open.
        pooling: What becomes of a feature map [H, W, C]: `"avg"` and `"max"` reduce it to [C], `"none"` keeps it.
            Outputs that are no maps are left alone. `"avg"` by default: it is what a dense classifier
            is usually given, and 10 to 50 times smaller than the map.
        precision: The arithmetic in which the base runs. `"bfloat16"` moves the features of a real MobileNet 0.25 by
            0.8 % (cosine .992) and a probe's accuracy by a tenth of a point, for 1.7 to 2.6 times the speed. `"tf32"`,
            on NVIDIA's GPUs since Ampere alone, keeps 10 bits of each factor and adds in float32.
        interpolation: How pictures are resized, by the names of `keras.utils.load_img`. `"bilinear"`, where Keras says
            `"nearest"`: on 1000 ImageNet pictures it is 1.8 points of top-1 accuracy better.
        exif_orientation: `"apply"` turns a picture upright as its EXIF tag says; `"ignore"` is what Keras does.
        decode: `"exact"` decodes every pixel, as Keras does; `"scaled"` lets the JPEG decoder itself scale large JPEGs
            down, and takes all other pictures as `"exact"` does.
        truncated: `"fail"` has no features for a file that ends too soon; `"keep"` computes them from the pixels that
            are there.
        resize: `"stretch"` gives a picture the input shape whatever its sides; `"crop"` keeps them in proportion and
            takes the middle; `"pad"` keeps them in proportion and fills up with black.
        crop_ratio: Of `"crop"`: the sides of the middle that is taken, as a share of what would just hold it, above 0
            to 1. torchvision's `Resize(256)` and `CenterCrop(224)` are .875.
        preprocess: What a saved network expects of pixels: one of `PREPROCESSINGS`, or the mean and the standard
            deviation of pixels in 0 to 1, as in `"mean=0.5,std=0.25"`, or three of each; or what pixels in 0 to 255
            are multiplied by and what is added then, as in `"scale=0.5,offset=-64"`. None for a base that has its own.
        feature_shapes: The shape of one feature of each layer, in the order of `layers`.
        augmentation: The further rows of training images; None where each image has one row. No part of the
            fingerprint.
    """

    conv_base: str
    conv_base_args: Mapping[str, ConvBaseArg] = dataclasses.field(default_factory=dict)
    weights: str = IMAGENET
    weights_sha256: str | None = None
    include_top: bool = False
    input_shape: tuple[int, int, int] | None = None
    layers: tuple[str, ...] = ()
    pooling: str = "avg"
    precision: str = FLOAT32
    interpolation: str = "bilinear"
    exif_orientation: str = "apply"
    decode: str = "exact"
    truncated: str = "fail"
    resize: str = "stretch"
    crop_ratio: float = 1.0
    preprocess: str | None = None
    feature_shapes: tuple[Shape, ...] = ()
    augmentation: AugmentedRows | None = None

    def __post_init__(self) -> None:
        """Checks what can be checked without Keras.

        Raises:
            InvalidSpec: If a field has none of its allowed values.
        """
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise InvalidSpec(f"{name} {getattr(self, name)!r} is not one of {', '.join(allowed)}.")
        if self.input_shape is not None and (len(self.input_shape) != 3 or self.input_shape[-1] != 3):
            shape = ",".join(map(str, self.input_shape))
            raise InvalidSpec(f"input_shape {shape} must be height,width,3: a conv base takes three channels.")
        if not all(1 <= side <= MOST_SIDE for side in self.input_shape or ()):
            raise InvalidSpec(f"input_shape {self.input_shape} must be of sides of 1 to {MOST_SIDE:,} pixels.")
        if not 0 < self.crop_ratio <= 1 or (self.resize != "crop" and self.crop_ratio != 1):
            raise InvalidSpec(f"crop_ratio {self.crop_ratio} must be above 0 and at most 1; it is for resize=crop.")
        if self.preprocess is not None and not re.fullmatch(PREPROCESS_PATTERN, self.preprocess):
            choices = ", ".join(PREPROCESSINGS)
            raise InvalidSpec(
                f"preprocess {self.preprocess!r} is not one of {choices}, mean=…,std=…, scale=…,offset=…."
            )
        if len(set(self.layers)) != len(self.layers):
            raise InvalidSpec(f"layers {','.join(self.layers)} names a layer twice.")
        if self.feature_shapes and len(self.feature_shapes) != len(self.layers):
            raise InvalidSpec(f"{len(self.layers)} layers have {len(self.feature_shapes)} shapes of features.")
        if any(side < 1 for shape in self.feature_shapes for side in shape):
            raise InvalidSpec(f"feature_shapes {self.feature_shapes} has a side below 1.")

    @property
    def is_resolved(self) -> bool:
        """Whether every field is filled in, so that the spec has a fingerprint."""
        return bool(self.weights_sha256 and self.input_shape and self.layers and self.feature_shapes)

    @property
    def fingerprint(self) -> str:
        """The first 16 hex digits of the SHA-256 of the canonical JSON of the fields that decide a feature's value.

        Raises:
            ValueError: If the spec is not resolved.
        """
        if not self.is_resolved:
            raise ValueError("Only a resolved spec has a fingerprint; publish its conv base first.")
        fields = {
            name: value
            for name, value in self.to_dict().items()
            if name not in _NOT_IN_FINGERPRINT and (name, value) not in _ADDED_LATER.items()
        }
        if self.saved_format is not None:
            fields["conv_base"] = self.saved_format
        canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    @property
    def saved_format(self) -> str | None:
        """The ending of the saved network that is the base, `KERAS_HUB` of a preset; None where it is built by name."""
        return saved_format(self.conv_base)

    @property
    def is_keras(self) -> bool:
        """Whether the base is published as a Keras model too, which Keras runs, puts a head on and trains.

        Not that of a preset: Keras opens no file of some backbones of Keras Hub (0.32), and workers would need it.
        """
        return self.saved_format in {None, KERAS_MODEL}

    @property
    def resolved_input_shape(self) -> tuple[int, int, int]:
        """(height, width, 3) of the pixels.

        Raises:
            ValueError: If the input shape is still open.
        """
        if self.input_shape is None:
            raise ValueError("The spec leaves its input shape open.")
        return self.input_shape

    @property
    def shape_by_layer(self) -> dict[str, Shape]:
        """The shape of one feature, by layer; a feature is stored as a list of `prod(shape)` floats."""
        return dict(zip(self.layers, self.feature_shapes, strict=True))

    @property
    def bytes_per_image(self) -> int:
        """The bytes of the features of one picture before compression (float32)."""
        return 4 * sum(math.prod(shape) for shape in self.feature_shapes)

    @property
    def rows_per_training_image(self) -> int:
        """The rows of an image that is trained on; all others have one."""
        return 1 + (self.augmentation.rows if self.augmentation else 0)

    @property
    def augmentation_fields(self) -> Mapping[str, Any]:
        """The augmentation as `differences` takes it; no rows where there is none."""
        return self.augmentation.to_dict() if self.augmentation else NO_ROWS

    def fields_of_features(self) -> dict[str, object]:
        """Returns the fields that decide a feature's value, as `differences` takes them."""
        others = {"feature_shapes", "augmentation"}  # The shapes follow; a picture's own features do without copies.
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name not in others}

    def differences(self, asked: Mapping[str, object]) -> list[str]:
        """Compares the asked fields with this spec, field by field.

        Args:
            asked: Values by field name; fields that are not asked for are not compared. Where a `weights_sha256` is
                asked for, it decides over `weights`. An `augmentation` is a mapping of those of its own fields that are
                asked for.

        Returns:
            One phrase a differing field, such as `"pooling is avg in the store, max was asked"`.
        """
        compared = dict(asked)
        if compared.get("weights_sha256") is not None:
            compared.pop("weights", None)
            if self.saved_format is not None and saved_format(str(compared.get("conv_base"))) == self.saved_format:
                compared.pop("conv_base")
        augmentation = compared.pop("augmentation", None)
        asked_rows = augmentation if isinstance(augmentation, Mapping) else {}
        pairs = [(name, getattr(self, name), value) for name, value in compared.items()]
        pairs += [
            (augmentation_option(name), value, asked_rows.get(name)) for name, value in self.augmentation_fields.items()
        ]
        return [
            f"{name} is {_words(own)} in the store, {_words(value)} was asked"
            for name, own, value in pairs
            if value is not None and value != own
        ]


def saved_format(name: str) -> str | None:
    """Returns the ending of a file or URI that is one of a saved network, `KERAS_HUB` for a preset's, or None.

    >>> saved_format("s3://bucket/Mine.ONNX")
    '.onnx'
    """
    if name.startswith(KERAS_HUB):
        return KERAS_HUB
    return next((ending for ending in SAVED_FORMATS if name.lower().endswith(ending)), None)


def augmentation_option(name: str) -> str:
    """Returns the option of a field of the augmentation, without its dashes."""
    return "augment" if name == "rows" else f"augment_{name}"


def _words(value: object) -> str:
    if isinstance(value, Mapping):
        return ",".join(f"{key}={item}" for key, item in value.items()) or "nothing"
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "nothing"
    return str(value)
