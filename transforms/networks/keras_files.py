"""`.keras` files and presets of Keras Hub, which may come from anybody: opened in Keras's safe mode, or refused."""

import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from schemas.errors import RunFailed, first_line, shown

if TYPE_CHECKING:
    import keras

# The files of a preset: what it is, what becomes of pixels before, and the weights.
PRESET: Final = "config.json"
CONVERTER: Final = "image_converter.json"
WEIGHTS: Final = "model.weights.h5"
SHARDS: Final = "model.weights.json"

_CONFIG: Final = "config.json"
_HUB: Final = b'"keras_hub>'


def load_keras_model(path: Path) -> "keras.Model":
    """Opens a `.keras` file without running code that is in it: no lambda, no class that is not Keras's or Keras Hub's.

    Args:
        path: The local file.

    Raises:
        RunFailed: If Keras does not open it so, or it holds no model.
    """
    import keras

    _import_keras_hub(path)
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        why = shown(first_line(error) or type(error).__name__, 200)
        raise RunFailed(f"{path.name} is no model that Keras opens in its safe mode: {why}") from error
    if not isinstance(model, keras.Model):
        raise RunFailed(f"{path.name} holds a {type(model).__name__}, and no model.")
    return model


def load_preset(folder: Path) -> "keras.Model":
    """Opens a preset of Keras Hub: its backbone, in float32, or of one of pictures and texts the part for pictures.

    Args:
        folder: The local folder that `save_to_preset` has written.

    Raises:
        RunFailed: If Keras Hub is not installed, does not open it, or changes pixels for it in a way of its own.
    """
    keras_hub = _keras_hub("A preset")
    import keras

    try:
        model = keras_hub.models.Backbone.from_preset(str(folder), dtype="float32")
        is_plain = not Path(folder, CONVERTER).exists() or _is_plain(keras_hub.layers.ImageConverter, folder)
    except Exception as error:
        why = shown(first_line(error) or type(error).__name__, 200)
        raise RunFailed(f"it is no preset that Keras Hub opens: {why}") from error
    if not is_plain:
        raise RunFailed("its image converter does more than to resize pictures, and to scale and shift their pixels")
    tower = getattr(model, "vision_encoder", model)
    if not isinstance(tower, keras.Model):
        raise RunFailed("it has no part for pictures alone")
    return tower


def _is_plain(converter: Any, folder: Path) -> bool:
    """Whether the image converter of a preset does what that of Keras Hub does, from which all are derived."""
    own = type(converter.from_preset(str(folder)))
    return all(getattr(own, name) is getattr(converter, name) for name in ("call", "_call_python", "_call_tf"))


def download_preset(name: str) -> str:
    """Has Keras Hub download the files of a preset that is known by its name or handle, or takes them from its cache.

    Returns:
        The local folder.

    Raises:
        RunFailed: If it cannot.
    """
    _keras_hub(f"The preset {name}")
    from keras_hub.src.utils.preset_utils import get_file

    try:
        for file in (PRESET, CONVERTER, WEIGHTS):
            path = get_file(name, file)
    except Exception as error:
        why = shown(first_line(error) or type(error).__name__, 200)
        raise RunFailed(
            f"Keras Hub cannot download the preset {shown(name)} ({why}): save it to a folder where it can "
            "(save_to_preset), and name that."
        ) from error
    return str(Path(path).parent)


def _keras_hub(what: str) -> Any:
    try:
        import keras_hub
    except ImportError as error:
        raise RunFailed(
            f"{what} needs Keras Hub, and its package cannot be imported ({first_line(error)}): install the extra "
            "keras-hub."
        ) from error
    return keras_hub


def _import_keras_hub(path: Path) -> None:
    """Imports Keras Hub, whose classes Keras knows by name then, where a file has some of them.

    Raises:
        RunFailed: If it is not installed.
    """
    try:
        with zipfile.ZipFile(path) as members:
            is_of_hub = _HUB in members.read(_CONFIG)
    except (OSError, KeyError, zipfile.BadZipFile, NotImplementedError, RuntimeError, zlib.error):
        return  # Keras says what is wrong with it.
    if is_of_hub:
        _keras_hub(path.name)
