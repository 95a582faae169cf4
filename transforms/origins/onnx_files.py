"""Which other files an ONNX file names, for the values of its tensors."""

from collections.abc import Iterator
from typing import Any, Final

from schemas.errors import shown
from schemas.storage import leaves_folder
from transforms.networks import onnx_message

_LOCATION: Final = b"location"


def files_beside(model: bytes) -> list[str]:
    """Returns the names of the files that a model keeps values of tensors in, each once.

    Raises:
        ValueError: If it is no ONNX file, or names one that does not lie beside it.
    """
    from google.protobuf.message import DecodeError

    read = onnx_message("Model")
    try:
        read.ParseFromString(model)
    except DecodeError as error:
        raise ValueError("it is damaged, or no ONNX file") from error
    if not (read.HasField("graph") or read.functions or read.training_info):
        raise ValueError("it is damaged, or no ONNX file")
    names = list(dict.fromkeys(_locations(read)))
    for name in names:
        if "/" in name or "\\" in name or leaves_folder(name):
            raise ValueError(f"it keeps weights in {shown(name)}, which is no file beside it")
    return names


def _locations(message: Any) -> Iterator[str]:
    """Yields the places that are named wherever a tensor may stand in a message."""
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for inner in [value] if hasattr(value, "ListFields") else value:
            if field.message_type.name != "Entry":
                yield from _locations(inner)
            elif inner.key == _LOCATION:
                yield inner.value.decode("utf-8", "backslashreplace")
