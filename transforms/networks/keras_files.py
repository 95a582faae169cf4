"""`.keras` files, which may come from anybody: opened in Keras's safe mode, or refused by one sentence."""

from pathlib import Path
from typing import TYPE_CHECKING

from schemas.errors import RunFailed, first_line, shown

if TYPE_CHECKING:
    import keras


def load_keras_model(path: Path) -> "keras.Model":
    """Opens a `.keras` file without running code that is in it: no lambda, no class that is not Keras's.

    Args:
        path: The local file.

    Raises:
        RunFailed: If Keras does not open it so, or it holds no model.
    """
    import keras

    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        why = shown(first_line(error) or type(error).__name__, 200)
        raise RunFailed(f"{path.name} is no model that Keras opens in its safe mode: {why}") from error
    if not isinstance(model, keras.Model):
        raise RunFailed(f"{path.name} holds a {type(model).__name__}, and no model.")
    return model
