"""The options of a feature spec."""

import argparse
from typing import Any

from pipelines.options.types import add_flag, name_and_value, shape, words
from schemas.spec import DECODINGS, EXIF_ORIENTATIONS, INTERPOLATIONS, POOLINGS, PRECISIONS, TRUNCATIONS


def add_spec_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the feature spec. None of them has a default here: what is not given, the store decides."""
    group = parser.add_argument_group("features (where the store exists, what is not given is read from it)")
    group.add_argument("--conv_base", metavar="NAME", help="any builder of keras.applications (default: VGG16)")
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
    add_flag(
        group,
        "--include_top",
        "keep the dense classifier, so that its layers can be asked for (default: false)",
    )
    group.add_argument(
        "--input_shape",
        type=shape,
        metavar="H,W,3",
        help="the pixels that the base is given (default: those that it was trained with)",
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
            "precision",
        )
    }
    fields["conv_base_args"] = dict(given.conv_base_arg) if given.conv_base_arg else None
    return {name: value for name, value in fields.items() if value is not None}
