"""The options of a feature spec."""

import argparse
from typing import Any

from pipelines.options.types import add_flag, crop_ratio, name_and_value, preprocess, shape, words
from schemas.spec import DECODINGS, EXIF_ORIENTATIONS, INTERPOLATIONS, POOLINGS, PRECISIONS, RESIZES, TRUNCATIONS


def add_spec_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the feature spec. None of them has a default here: what is not given, the store decides."""
    group = parser.add_argument_group("features (where the store exists, what is not given is read from it)")
    group.add_argument(
        "--conv_base",
        metavar="NAME",
        help="any builder of keras.applications, or the URI of a saved network: a .keras or .onnx file, or the .xml of "
        "an OpenVINO network; keras_hub:FOLDER is a preset that Keras Hub has saved (default: VGG16)",
    )
    group.add_argument(
        "--conv_base_arg",
        action="append",
        metavar="NAME=VALUE",
        type=name_and_value,
        help="a further argument of the builder, such as alpha=0.25; may be given several times",
    )
    group.add_argument(
        "--weights", metavar="WEIGHTS", help="none (random), imagenet, or the URI of a weights file (default: imagenet)"
    )
    group.add_argument(
        "--preprocess",
        type=preprocess,
        metavar="HOW",
        help="what a saved network expects of pixels: none is 0 to 255, scale_1 is 0 to 1, scale_-1_1 is -1 to 1, "
        "caffe and torch are those of Keras's applications, mean=…,std=… with one or three numbers each are of pixels "
        "in 0 to 1, scale=…,offset=… multiplies pixels in 0 to 255 and adds; it has to be given where the file does "
        "not say it (default: what the file says)",
    )
    add_flag(
        group,
        "--include_top",
        "keep the dense classifier, so that its layers can be asked for (default: false)",
    )
    group.add_argument(
        "--input_shape",
        type=shape,
        metavar="H,W,3",
        help="the pixels that the base is given (default: those that it was trained with, or that its file says)",
    )
    group.add_argument(
        "--layers",
        type=words,
        metavar="A,B",
        help="layers whose outputs are the features, one column each (default: the last); "
        "python -m pipelines.inspect --conv_base=NAME lists them",
    )
    group.add_argument(
        "--pooling",
        choices=POOLINGS,
        help="how a feature map is reduced: avg or max over the map, or none to keep it whole (default: avg)",
    )
    _add_pixel_options(group)
    group.add_argument(
        "--precision",
        choices=PRECISIONS,
        help="arithmetic of the base; bfloat16 is twice as fast on some CPUs, half as fast on others, and moves the "
        "features of a real MobileNet by 0.8 percent and a probe's accuracy by 0.1 point; tf32, on NVIDIA's GPUs only, "
        "is up to four times as fast as float32 and moves them by about as much (default: float32)",
    )


def _add_pixel_options(group: "argparse._ArgumentGroup") -> None:
    """Adds those that decide which pixels the base is given."""
    group.add_argument("--interpolation", choices=INTERPOLATIONS, help="how pictures are resized (default: bilinear)")
    group.add_argument(
        "--resize",
        choices=RESIZES,
        help="stretch gives pictures the input shape whatever their sides; crop keeps these in proportion and takes "
        "the middle; pad keeps them in proportion and fills up with black (default: stretch)",
    )
    group.add_argument(
        "--crop_ratio",
        type=crop_ratio,
        metavar="RATIO",
        help="with --resize=crop, the sides of what is taken as a share of the largest middle: .875 is torchvision's "
        "224 of 256 (default: 1)",
    )
    group.add_argument(
        "--exif_orientation",
        choices=EXIF_ORIENTATIONS,
        help="apply turns pictures upright; ignore is what Keras does (default: apply)",
    )
    group.add_argument(
        "--decode",
        choices=DECODINGS,
        help="exact decodes every pixel, as Keras does; scaled has JPEGs of four times the input shape or more scaled "
        "down while they are decoded: a picture of 12 megapixels takes a quarter of the time, and its features have a "
        "cosine of .9999 with the exact ones (default: exact)",
    )
    group.add_argument(
        "--truncated",
        choices=TRUNCATIONS,
        help="files that end too soon: fail makes them rows in `failures`; keep takes the pixels that are there, the "
        "rest of the picture is grey or black (default: fail)",
    )


def spec_options(given: argparse.Namespace) -> dict[str, Any]:
    """Returns the fields of the feature spec that were given, by name."""
    fields = {
        name: getattr(given, name)
        for name in (
            "conv_base",
            "weights",
            "include_top",
            "input_shape",
            "layers",
            "pooling",
            "interpolation",
            "exif_orientation",
            "decode",
            "truncated",
            "resize",
            "crop_ratio",
            "preprocess",
            "precision",
        )
    }
    fields["conv_base_args"] = dict(given.conv_base_arg) if given.conv_base_arg else None
    return {name: value for name, value in fields.items() if value is not None}
