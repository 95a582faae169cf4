"""Saved Keras models as conv bases: any `.keras` file that Keras opens in its safe mode, and presets of Keras Hub."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from schemas.errors import InvalidSpec, RunFailed
from schemas.spec import KERAS_HUB, FeatureSpec
from transforms.networks import load_keras_model, load_preset
from transforms.origins.keras_bases import KerasNetwork
from transforms.origins.picture_input import PictureInput
from transforms.origins.saved_files import check_sha256, read_saved_files, sha256_of_files
from transforms.preprocessing import GREY_HALF, GREY_PARTS, GREY_UNIT, PixelValues
from transforms.runtime import limit_memory, temporary_folder

if TYPE_CHECKING:
    import keras

_CHANNELS_FIRST: Final = (0, 3, 1, 2)


def load_saved(spec: FeatureSpec) -> tuple[FeatureSpec, KerasNetwork]:
    """Opens the `.keras` file or preset of a spec, and returns it with the spec, what the file says of it filled in.

    Raises:
        InvalidSpec: If it is no model that is opened without running code in it, or takes no pictures.
        WeightsUnavailable: If it cannot be read, or is another file than the spec says.
    """
    import keras

    keras.utils.clear_session()
    keras.config.set_image_data_format("channels_last")
    files = read_saved_files(spec.weights)
    sha256 = sha256_of_files(files)
    check_sha256(spec, sha256)
    name = next(iter(files))
    is_preset = spec.saved_format == KERAS_HUB
    limit_memory()
    with temporary_folder() as folder:
        for member, content in files.items():
            Path(folder, member).write_bytes(content)
        try:
            model = load_preset(Path(folder)) if is_preset else load_keras_model(Path(folder, name))
        except RunFailed as error:
            raise InvalidSpec(f"{spec.conv_base}: {error}" if is_preset else str(error)) from error
        except MemoryError as error:
            raise InvalidSpec(f"{name} takes more memory than this machine has.") from error
    taken = _input_of(model, spec.conv_base)
    known = taken.resolved(spec, _said_preprocess(model))
    values = PixelValues.of(str(known.preprocess), taken.channels)
    dtype = str(model.inputs[0].dtype)

    def preprocess(pixels: Any) -> Any:
        return keras.ops.cast(_prepared(pixels, taken, values), dtype)

    shaped = _with_shape(model, taken, known)
    return known, KerasNetwork(shaped, sha256, preprocess, taken.limits, taken.channels_first)


def _input_of(model: "keras.Model", name: str) -> PictureInput:
    try:
        inputs = model.inputs
    except AttributeError as error:
        raise InvalidSpec(f"{name} has no input shape: Keras saves one once the model was built or called.") from error
    shapes = [tuple(tensor.shape) for tensor in inputs]
    return PictureInput.of(name, shapes, takes_integers=bool(inputs) and "int" in str(inputs[0].dtype))


def _said_preprocess(model: "keras.Model") -> str | None:
    """Returns what a model says of pixels: one that begins by rescaling takes them as they are."""
    import keras

    layers = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
    return "none" if layers and isinstance(layers[0], keras.layers.Rescaling) else None


def _with_shape(model: "keras.Model", taken: PictureInput, spec: FeatureSpec) -> "keras.Model":
    """Returns a model that takes pictures of any size as one that takes those of a spec: all shapes are known then."""
    import keras

    if taken.height is not None and taken.width is not None:
        return model
    height, width, _ = spec.resolved_input_shape
    shape = (taken.channels, height, width) if taken.channels_first else (height, width, taken.channels)
    given = keras.Input(shape, dtype=model.inputs[0].dtype)
    clone = keras.models.clone_model(model, input_tensors=keras.tree.map_structure(lambda _: given, model.input))
    clone.set_weights(model.get_weights())
    return clone


def _prepared(pixels: Any, taken: PictureInput, values: PixelValues) -> Any:
    """Returns what a network takes, of pixels in 0 to 255, float32 [N, H, W, 3]."""
    import keras

    if taken.channels == 1:
        red, green, blue = (pixels[..., number : number + 1] * part for number, part in enumerate(GREY_PARTS))
        pixels = keras.ops.floor((red + green + blue + GREY_HALF) / GREY_UNIT)
    elif values.is_bgr:
        pixels = pixels[..., ::-1]
    if values != PixelValues(is_bgr=values.is_bgr):
        pixels = keras.layers.Rescaling(*(part[0] if len(part) == 1 else [*part] for part in values[:2]))(pixels)
    return keras.ops.transpose(pixels, _CHANNELS_FIRST) if taken.channels_first else pixels
