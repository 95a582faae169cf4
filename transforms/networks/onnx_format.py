"""The format of ONNX files (onnx.proto, ONNX 1.19), as far as it is read and written here, as `protobuf` wants it.

Everything else in a file is skipped. Texts are bytes: those of strangers need not be UTF-8.
"""

import functools
from collections.abc import Mapping
from typing import Any, Final

_PACKAGE: Final = "convbase.onnx"

# The fields of each message: name, number and type; those that stand several times with a star.
_MESSAGES: Final[Mapping[str, str]] = {
    "Model": "ir_version=1:int64 producer_name=2:bytes graph=7:Graph opset_import=8:Opset* training_info=20:Training* "
    "functions=25:Function*",
    "Opset": "domain=1:bytes version=2:int64",
    "Training": "initialization=1:Graph algorithm=2:Graph",
    "Function": "node=7:Node* attribute_proto=11:Attribute*",
    "Graph": "node=1:Node* name=2:bytes initializer=5:Tensor* input=11:Value* output=12:Value* "
    "sparse_initializer=15:SparseTensor*",
    "Node": "input=1:bytes* output=2:bytes* name=3:bytes op_type=4:bytes attribute=5:Attribute*",
    "Attribute": "name=1:bytes f=2:float i=3:int64 s=4:bytes t=5:Tensor g=6:Graph floats=7:float* ints=8:int64* "
    "tensors=10:Tensor* graphs=11:Graph* type=20:int64 sparse_tensor=22:SparseTensor sparse_tensors=23:SparseTensor*",
    "SparseTensor": "values=1:Tensor indices=2:Tensor",
    "Tensor": "dims=1:int64* data_type=2:int64 name=8:bytes raw_data=9:bytes external_data=13:Entry*",
    "Entry": "key=1:bytes value=2:bytes",
    "Value": "name=1:bytes type=2:Type",
    "Type": "tensor_type=1:TensorType",
    "TensorType": "elem_type=1:int64 shape=2:Shape",
    "Shape": "dim=1:Dimension*",
    "Dimension": "dim_value=1:int64 dim_param=2:bytes",
}


def onnx_message(name: str) -> Any:
    """Returns an empty message of a name, such as `"Model"`."""
    return _message_class(name)()


@functools.cache
def _message_class(name: str) -> Any:
    from google.protobuf import message_factory

    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"{_PACKAGE}.{name}"))


@functools.cache
def _pool() -> Any:
    from google.protobuf import descriptor_pb2, descriptor_pool

    file = descriptor_pb2.FileDescriptorProto(name=f"{_PACKAGE}.proto", package=_PACKAGE, syntax="proto2")
    kinds = descriptor_pb2.FieldDescriptorProto
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for described in fields.split():
            field_name, _, rest = described.partition("=")
            number, _, kind = rest.rstrip("*").partition(":")
            label = kinds.LABEL_REPEATED if rest.endswith("*") else kinds.LABEL_OPTIONAL
            field = message.field.add(name=field_name, number=int(number), label=label)
            if kind in _MESSAGES:
                field.type, field.type_name = kinds.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
            else:
                field.type = getattr(kinds, f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool
