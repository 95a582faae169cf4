"""A graph of ONNX that is built operation by operation, from the tensors of an OpenVINO network."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from transforms.networks.onnx_format import onnx_message
from transforms.networks.simplification import constant

if TYPE_CHECKING:
    import openvino

# Every ONNX Runtime since 1.12 runs it.
_OPSET: Final = 17
_IR_VERSION: Final = 8
# TensorProto.DataType
TYPES: Final = {"float32": 1, "uint8": 2, "int8": 3, "int32": 6, "int64": 7, "bool": 9, "float16": 10, "float64": 11}
_MOST_BYTES: Final = 2**31 - 1


class NotInOnnx(Exception):
    """A network has an operation that is not written as ONNX, or has too many weights for one file."""


class OnnxGraph:
    """What computes some tensors of a network; each of them has a name in the graph."""

    def __init__(self, name: str) -> None:
        """Begins a graph of this name."""
        self._model = onnx_message("Model")
        self._model.ir_version = _IR_VERSION
        self._model.producer_name = b"convbase"
        self._model.opset_import.add(domain=b"", version=_OPSET)
        self._graph = self._model.graph
        self._graph.name = name.encode()
        self._names: dict[tuple[str, int], str] = {}
        self._count = 0

    def to_bytes(self) -> bytes:
        """Returns the content of an ONNX file.

        Raises:
            NotInOnnx: If it has more than fits into one file.
        """
        content: bytes = self._model.SerializeToString()
        if len(content) > _MOST_BYTES:
            raise NotInOnnx("It has more than 2 GB, the most that one ONNX file holds.")
        return content

    def add_input(self, node: Any) -> None:
        """Adds an input of the network, under its name."""
        name = _name_of(node.output(0))
        self.name_outputs(node, [name])
        _describe(self._graph.input.add(name=name.encode()), node.output(0))

    def add_output(self, node: Any) -> None:
        """Adds an output of the network, under its name."""
        name = _name_of(node.output(0))
        self._add("Identity", name, [self.tensor(node.input_value(0))])
        _describe(self._graph.output.add(name=name.encode()), node.output(0))

    def name_outputs(self, node: Any, names: Sequence[str]) -> None:
        """Says by which names the outputs of a node are computed."""
        self._names.update({(node.get_name(), index): name for index, name in enumerate(names)})

    def inputs(self, node: Any) -> list[str]:
        """Returns the names of the tensors that a node takes."""
        return [self.tensor(value) for value in node.input_values()]

    def tensor(self, output: "openvino.Output") -> str:
        """Returns the name of a tensor; a constant is added where it is used first."""
        key = (output.get_node().get_name(), output.get_index())
        if key not in self._names:
            value = constant(output)
            if value is None:
                raise NotInOnnx("It uses the second output of an operation.")
            self._names[key] = self.constant(value)
        return self._names[key]

    def constant(self, value: np.ndarray) -> str:
        """Adds a constant, whole numbers as int64, and returns its name."""
        name = self._new_name()
        if value.dtype.kind in "iu" and value.dtype != np.uint8:
            value = value.astype(np.int64)
        if str(value.dtype) not in TYPES:
            raise NotInOnnx(f"It has constants of {value.dtype}.")
        self._graph.initializer.add(
            name=name.encode(), dims=value.shape, data_type=TYPES[str(value.dtype)], raw_data=value.tobytes()
        )
        return name

    def integers(self, *values: int) -> str:
        """Adds a constant of int64 and returns its name."""
        return self.constant(np.array(values, np.int64))

    def number(self, value: float) -> str:
        """Adds a number and returns its name."""
        return self.constant(np.array(value, np.float32))

    def add(self, kind: str, inputs: Sequence[str], **attributes: "float | str | Sequence[int]") -> str:
        """Adds an operation and returns the name of its output."""
        name = self._new_name()
        node = self._add(kind, name, inputs)
        for key, value in attributes.items():
            if isinstance(value, bool | int):
                node.attribute.add(name=key.encode(), type=2, i=int(value))
            elif isinstance(value, float):
                node.attribute.add(name=key.encode(), type=1, f=value)
            elif isinstance(value, str):
                node.attribute.add(name=key.encode(), type=3, s=value.encode())
            else:
                node.attribute.add(name=key.encode(), type=7, ints=[int(one) for one in value])
        return name

    def _add(self, kind: str, name: str, inputs: Sequence[str]) -> Any:
        node = self._graph.node.add(op_type=kind.encode(), name=name.encode(), output=[name.encode()])
        node.input.extend(text.encode() for text in inputs)
        return node

    def _new_name(self) -> str:
        self._count += 1
        return f"t{self._count}"


def _name_of(output: Any) -> str:
    return str(min(output.get_names(), default=output.get_node().get_friendly_name()))


def _describe(value: Any, output: Any) -> None:
    about = value.type.tensor_type
    about.elem_type = TYPES[str(output.get_element_type().to_dtype())]
    for side in output.get_partial_shape():
        dimension = about.shape.dim.add()
        if side.is_dynamic:
            dimension.dim_param = b"batch"
        else:
            dimension.dim_value = side.get_length()
