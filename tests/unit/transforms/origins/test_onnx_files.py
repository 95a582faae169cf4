"""Which other files an ONNX file names: those beside it are found wherever they are named, all others are refused."""

import numpy as np
import pytest

from tests.support.onnx_files import SmallResNet, field, model, node, tensor, value_info
from transforms.origins.onnx_files import files_beside

VALUES = np.zeros(2, np.float32)
FAR = ["../weights", "/etc/passwd", "weights/../../x", "sub/weights", "..", "", ".", "a\\b", "http://host/x", "x\0y"]


def test_a_file_that_is_alone_names_none() -> None:
    assert files_beside(SmallResNet.random().onnx()) == []


def test_files_are_named_once_in_the_order_of_the_tensors() -> None:
    weights = [tensor("a", VALUES, "b.bin"), tensor("b", VALUES, "a.bin"), tensor("c", VALUES, "b.bin")]
    assert files_beside(model([], weights, [], [])) == ["b.bin", "a.bin"]


def test_tensors_are_found_wherever_they_may_stand() -> None:
    outside = tensor("a", VALUES, "w.bin")
    inner = field(1, node("Identity", ["x"], "y")) + field(5, outside)  # A graph with an initializer.
    attributes = {
        "a tensor": field(5, outside), "a graph": field(6, inner), "tensors": field(10, outside),
        "graphs": field(11, inner), "a sparse tensor": field(22, field(1, outside)),
        "indices of sparse tensors": field(23, field(2, outside)),
    }  # fmt: skip
    nodes = {name: node("If", ["x"], "y") + field(5, field(1, "value") + value) for name, value in attributes.items()}
    models = {name: field(7, field(1, value)) for name, value in nodes.items()}
    models |= {f"{name} of a function": field(25, field(7, value)) for name, value in nodes.items()}
    models["a default of a function"] = field(25, field(11, attributes["a graph"]))
    models["a sparse initializer"] = field(7, field(15, field(1, outside)))
    models["training"] = field(20, field(1, inner))
    models["a graph in two parts"] = field(7, b"") + field(7, inner)
    assert {name: files_beside(content) for name, content in models.items()} == {name: ["w.bin"] for name in models}


@pytest.mark.parametrize("location", FAR)
def test_a_file_elsewhere_is_refused(location: str) -> None:
    entries = field(13, field(1, "location") + field(2, location))
    with pytest.raises(ValueError, match="which is no file beside it"):
        files_beside(field(7, field(5, entries)))


def test_of_what_is_said_twice_the_last_counts() -> None:
    hidden = field(13, field(1, "other") + field(1, "location") + field(2, "a.bin") + field(2, "../b.bin"))
    with pytest.raises(ValueError, match=r"weights in \.\./b\.bin"):
        files_beside(field(7, field(5, hidden)))


@pytest.mark.parametrize("content", [b"\xff" * 100, SmallResNet.random().onnx()[:-100], field(7, field(5, b"\x07"))])
def test_what_is_no_onnx_file(content: bytes) -> None:
    with pytest.raises(ValueError, match="it is damaged, or no ONNX file"):
        files_beside(content)


def test_a_graph_in_a_graph_a_thousand_times() -> None:
    inner = b""
    for _ in range(1000):
        inner = field(1, field(5, field(6, inner)))
    with pytest.raises(ValueError, match="it is damaged"):
        files_beside(field(7, inner))
    assert value_info("x", [1])
