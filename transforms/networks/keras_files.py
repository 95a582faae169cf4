"""`.keras` files, which may come from anybody: opened in Keras's safe mode, or refused by one sentence."""

import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

from schemas.errors import RunFailed, first_line, shown

if TYPE_CHECKING:
    import keras

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
        try:
            import keras_hub  # noqa: F401
        except ImportError as error:
            raise RunFailed(
                f"{path.name} has layers of Keras Hub, and its package cannot be imported ({first_line(error)}): "
                "install the extra keras-hub."
            ) from error
