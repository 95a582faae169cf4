"""Presets of Keras Hub: which files belong to one, and what its image converter does, as fields of a spec."""

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final

from schemas.errors import InvalidSpec, RunFailed, WeightsUnavailable, shown
from schemas.spec import INTERPOLATIONS, KERAS_HUB
from schemas.storage import canonical_uri, join
from transforms.networks import CONVERTER, PRESET, download_preset, in_keras_process

# Keras's name for what Pillow calls lanczos.
_INTERPOLATIONS: Final = {**{name: name for name in INTERPOLATIONS}, "lanczos3": "lanczos"}


def preset_named(given: str) -> tuple[str, str]:
    """Returns the name of a preset for a spec, and the URI of the file that says what it is.

    Args:
        given: A folder, its `config.json`, or a name that Keras Hub knows, behind `KERAS_HUB`; one of Keras Hub's is
            downloaded, by Keras Hub.

    Raises:
        WeightsUnavailable: If it cannot be downloaded.
    """
    named = given.removeprefix(KERAS_HUB)
    if not named:
        raise InvalidSpec(f"{KERAS_HUB} needs the folder of a preset, or the name of one that Keras Hub has.")
    folder = named.removesuffix(PRESET).rstrip("/")
    if _is_of_the_hub(named):
        try:
            folder = in_keras_process(download_preset, named)
        except RunFailed as error:
            raise WeightsUnavailable(str(error)) from error
    name = PurePosixPath(named.removesuffix(PRESET)).name or "preset"
    return f"{KERAS_HUB}{name}", canonical_uri(join(folder or ".", PRESET))


def _is_of_the_hub(named: str) -> bool:
    """Whether it is a name or handle that Keras Hub downloads by, and no folder."""
    if named.startswith(("kaggle://", "hf://", "modelscope://")):
        return True
    return "/" not in named and not Path(named).exists()


def fields_of_converter(files: Mapping[str, bytes]) -> dict[str, Any]:
    """Returns the fields of a spec that the image converter of a preset decides.

    Args:
        files: The files of the preset, by their names.

    Returns:
        `preprocess`, `resize`, `interpolation` and, where it has a size, `input_shape`; nothing where there is no
        image converter.

    Raises:
        InvalidSpec: If it has none that can be followed.
    """
    if CONVERTER not in files:
        return {}
    try:
        said = json.loads(files[CONVERTER])["config"]
        scale, offset = (_numbers(said.get(name), none) for name, none in (("scale", 1.0), ("offset", 0.0)))
        resize = "crop" if said.get("crop_to_aspect_ratio", True) else "stretch"
        if said.get("pad_to_aspect_ratio"):
            resize = "pad"
        fields: dict[str, Any] = {
            "preprocess": f"scale={scale},offset={offset}",
            "resize": resize,
            "interpolation": _INTERPOLATIONS[said.get("interpolation", "bilinear")],
        }
        if said.get("image_size"):
            height, width = map(int, said["image_size"])
            fields["input_shape"] = (height, width, 3)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InvalidSpec(
            f"{CONVERTER} of the preset says {shown(str(error), 100)}, which is not known here."
        ) from error
    return fields


def _numbers(value: Any, none: float) -> str:
    """Returns one number, or one for each channel, as a spec has them: all of their digits."""
    numbers = [none] if value is None else value if isinstance(value, list) else [value]
    if len(numbers) not in {1, 3}:
        raise ValueError(f"{len(numbers)} numbers")
    return ",".join(repr(float(number)) for number in numbers)
