"""Networks are written as ONNX that computes the same, by OpenVINO's own reader and by ONNX Runtime."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest
from openvino import opset13, opset14

from schemas.spec import FeatureSpec
from tests.unit.transforms.conv_bases.test_conv_bases import assert_equal, pictures
from transforms.conv_bases import cached_conv_base
from transforms.networks import NotInOnnx, write_onnx

# Between them every operation of the bases that Keras has.
BASES = ("ConvNeXtTiny", "EfficientNetB0", "InceptionV3", "MobileNetV3Small", "NASNetMobile")
RANDOM = np.random.default_rng(0)


def by_openvino(path: Path, inputs: np.ndarray) -> list[np.ndarray]:
    compiled = openvino.compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return [np.array(value) for value in compiled(inputs).values()]


def by_onnxruntime(path: Path, inputs: np.ndarray) -> list[np.ndarray]:
    session = pytest.importorskip("onnxruntime").InferenceSession(path, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    found: list[np.ndarray] = session.run(None, {given.name: inputs})
    return found


def assert_same(network: Path, inputs: np.ndarray, run: Callable[[Path, np.ndarray], list[np.ndarray]]) -> None:
    write_onnx(network, network.with_suffix(".onnx"))
    for size in (len(inputs), 1):
        expected = by_openvino(network, inputs[:size])
        for ours, theirs in zip(run(network.with_suffix(".onnx"), inputs[:size]), expected, strict=True):
            assert_equal(ours, theirs)


@pytest.fixture(params=[by_openvino, by_onnxruntime])
def reader(request: pytest.FixtureRequest) -> Callable[[Path, np.ndarray], list[np.ndarray]]:
    run: Callable[[Path, np.ndarray], list[np.ndarray]] = request.param
    return run


@pytest.mark.parametrize(("name", "run"), [*((name, by_openvino) for name in BASES), ("InceptionV3", by_onnxruntime)])
def test_a_published_base(name: str, run: Callable[[Path, np.ndarray], list[np.ndarray]], tmp_path: Path) -> None:
    cached_conv_base(FeatureSpec(name, weights="none", input_shape=(80, 80, 3)), tmp_path)
    assert_same(tmp_path / "base.xml", pictures(80), run)


def window(kind: str, **given: Any) -> Callable[[Any], Any]:
    fixed: dict[str, Any] = {"strides": [2, 2], "pads_begin": [1, 0], "pads_end": [0, 1], "kernel_shape": [3, 3]}
    if kind == "max":
        return lambda x: opset14.max_pool(x, dilations=[1, 1], **fixed, **given).output(0)
    return lambda x: opset14.avg_pool(x, **fixed, **given)


# Operations of one input, float32 [N, 4, 9, 7].
OPERATIONS: dict[str, Callable[[Any], Any]] = {
    "an average without the margin": window("avg", exclude_pad=True),
    "an average with the margin": window("avg", exclude_pad=False),
    "an average rounded up": window("avg", exclude_pad=True, rounding_type="ceil"),
    "a maximum": window("max"),
    "a maximum rounded up": window("max", rounding_type="ceil"),
    "the same size": window("avg", exclude_pad=True, auto_pad="same_upper"),
    "a part": lambda x: opset13.slice(x, [1, 0], [100, -1], [2, 1], [2, 3]),
    "a part from the end": lambda x: opset13.slice(x, [-1], [-100], [-1], [3]),
    "a part by strides": lambda x: opset13.strided_slice(
        x, [0, 1, 2, 0], [0, 3, -1, 0], [1, 1, 2, 1], [1, 0, 0, 1], [1, 0, 0, 1]
    ),
    "a single row": lambda x: opset13.strided_slice(
        x, [0, 0, -1], [0, 0, 0], [1, 1, 1], [1, 1, 0], [1, 1, 0], [], [0, 0, 1]
    ),
    "a margin": lambda x: opset13.pad(x, [0, 0, 1, 2], [0, 0, 0, 1], "constant", np.float32(0.5)),
    "a mirrored margin": lambda x: opset13.pad(x, [0, 0, 1, 2], [0, 0, 0, 1], "reflect"),
    "two parts of channels": lambda x: opset13.concat([opset13.gather(x, [3, 1], 1), x], 1),
    "normalised": lambda x: opset13.mvn(x, [2, 3], True, 1e-3, "inside_sqrt"),
    "centred": lambda x: opset13.mvn(x, [1], False, 1e-3, "outside_sqrt"),
    "normalised outside": lambda x: opset13.mvn(x, [1], True, 1e-3, "outside_sqrt"),
    "gelu": lambda x: opset13.gelu(x, "erf"),
    "gelu by tanh": lambda x: opset13.gelu(x, "tanh"),
    "swish": lambda x: opset13.swish(x, np.float32(1.5)),
    "mish": opset13.mish,
    "elu": lambda x: opset13.elu(x, 0.7),
    "hard sigmoid": lambda x: opset13.hard_sigmoid(x, np.float32(0.3), np.float32(0.4)),
    "hsigmoid": opset13.hsigmoid,
    "hswish": opset13.hswish,
    "a slope for each channel": lambda x: opset13.prelu(x, np.array([0.1, 0.2, 0.3, 0.4], np.float32)),
    "a slope for all": lambda x: opset13.prelu(x, np.array([0.1], np.float32)),
    "clamped": lambda x: opset13.clamp(x, -0.5, 0.75),
    "squared difference": lambda x: opset13.squared_difference(x, opset13.relu(x)),
    "softmax": lambda x: opset13.softmax(x, 1),
    "sum": lambda x: opset13.reduce_sum(x, [2, -1], keep_dims=False),
    "norm": lambda x: opset13.reduce_l2(x, [1], keep_dims=True),
    "a product": lambda x: opset13.matmul(x, np.ones((5, 7), np.float32), False, True),
    "a product turned round": lambda x: opset13.matmul(x, x, True, False),
    "attention": lambda x: opset13.scaled_dot_product_attention(x, x, x),
    "flattened": lambda x: opset13.reshape(x, [0, -1], True),
    "groups": lambda x: opset13.group_convolution(
        x, RANDOM.normal(size=(2, 3, 2, 3, 3)).astype(np.float32), [1, 2], [1, 1], [0, 1], [2, 1], "explicit"
    ),
    "parts": lambda x: opset13.concat(opset13.split(x, 1, 2).outputs()[::-1], 1),
    "parts of other sizes": lambda x: opset13.concat(opset13.variadic_split(x, 2, [4, 3, 2]).outputs()[::-1], 2),
    "one for all": lambda x: opset13.multiply(
        opset13.broadcast(np.ones((1, 1, 9, 1), np.float32), opset13.shape_of(x), broadcast_spec="BIDIRECTIONAL"), x
    ),
    "a shape that is computed": lambda x: opset13.reshape(
        x, opset13.concat([opset13.gather(opset13.shape_of(x), [0], 0), np.array([-1], np.int64)], 0), False
    ),
}


@pytest.mark.parametrize("case", OPERATIONS)
def test_an_operation(case: str, tmp_path: Path, reader: Callable[[Path, np.ndarray], list[np.ndarray]]) -> None:
    x = opset13.parameter([-1, 4, 9, 7], np.float32, name="x")
    openvino.save_model(openvino.Model([OPERATIONS[case](x)], [x]), tmp_path / "a.xml", compress_to_fp16=False)
    assert_same(tmp_path / "a.xml", RANDOM.normal(size=(3, 4, 9, 7)).astype(np.float32), reader)


def test_what_is_not_known_is_said(tmp_path: Path) -> None:
    x = opset13.parameter([-1, 4], np.float32, name="x")
    openvino.save_model(openvino.Model([opset13.cum_sum(x, np.int64(1))], [x]), tmp_path / "a.xml")
    with pytest.raises(NotInOnnx, match="It has an operation CumSum"):
        write_onnx(tmp_path / "a.xml", tmp_path / "a.onnx")
    assert not (tmp_path / "a.onnx").exists()
