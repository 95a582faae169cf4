"""Networks that others have saved, in ONNX or OpenVINO files: features are those of Keras with the same weights."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openvino
import pytest

from schemas.errors import ConvbaseError, InvalidSpec
from schemas.spec import FeatureSpec
from tests.support.onnx_files import SmallResNet, model, node, tensor, value_info
from tests.unit.transforms.conv_bases.test_conv_bases import POOLINGS, assert_equal, pictures
from transforms.conv_bases import OpenVINOEngine, summarise_conv_base
from transforms.conv_bases.publishing import prepare_conv_base
from transforms.origins import CONV_BASE_FILES, OPENVINO_FILES
from transforms.origins.saved_networks import SavedNetworkOrigin
from transforms.preprocessing import GREY_PARTS, PixelValues

SIDE = 64
LAYERS = ("/maxpool/MaxPool_output_0", "/layer1/relu_1/Relu_output_0", "logits")
RESNET = SmallResNet.random()


def spec_of(path: Path, **fields: object) -> FeatureSpec:
    return FeatureSpec(path.name, weights=str(path), **{"preprocess": "torch", "layers": LAYERS, **fields})


def saved(folder: Path, content: bytes, name: str = "mine.onnx") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)
    return folder / name


def exported(spec: FeatureSpec, folder: Path) -> FeatureSpec:
    """Builds the base in this process: no Keras is needed for it."""
    folder.mkdir()
    return SavedNetworkOrigin().export(spec, folder)


def features(folder: Path, pixels: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """What the engine makes of pictures, the last batch filled up."""
    padded = np.zeros((-(-len(pixels) // batch_size) * batch_size, *pixels.shape[1:]), np.uint8)
    padded[: len(pixels)] = pixels

    def fetch(names: tuple[str, ...], local: Path) -> None:
        for name in names:
            (local / name).write_bytes((folder / name).read_bytes())

    from schemas.storage import PublishedBase

    engine = OpenVINOEngine(PublishedBase(str(folder)), batch_size, fetch=fetch)
    batches = [
        engine.submit(padded[first : first + batch_size]).result() for first in range(0, len(padded), batch_size)
    ]
    return [np.concatenate(layer)[: len(pixels)] for layer in zip(*batches, strict=True)]


def expected(resnet: SmallResNet = RESNET, preprocess: str = "torch") -> list[np.ndarray]:
    values = PixelValues.of(preprocess, 3)
    pixels = pictures(SIDE).astype(np.float32)
    found = resnet.keras(pixels * np.float32(values.scale) + np.float32(values.offset))
    return [found[name] for name in LAYERS]


def assert_maps_equal(computed: list[np.ndarray], maps: list[np.ndarray], pooling: str = "avg") -> None:
    for ours, theirs in zip(computed, maps, strict=True):
        assert_equal(ours, POOLINGS[pooling](theirs) if theirs.ndim == 4 else theirs)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_an_onnx_network_gives_what_keras_gives(pooling: str, tmp_path: Path) -> None:
    path = saved(tmp_path / "saved", RESNET.onnx())
    spec = exported(spec_of(path, pooling=pooling, input_shape=(SIDE, SIDE, 3)), tmp_path / "base")
    assert sorted(file.name for file in (tmp_path / "base").iterdir()) == sorted(OPENVINO_FILES)
    shapes = ((16, 16, 8), (16, 16, 8), (5,)) if pooling == "none" else ((8,), (8,), (5,))
    assert (spec.is_resolved, spec.input_shape, spec.feature_shapes) == (True, (SIDE, SIDE, 3), shapes)
    assert_maps_equal(features(tmp_path / "base", pictures(SIDE), 4), expected(), pooling)


def test_a_publishing_process_builds_the_same(tmp_path: Path) -> None:
    path = saved(tmp_path, RESNET.onnx())
    (tmp_path / "base").mkdir()
    prepared = prepare_conv_base(spec_of(path), tmp_path / "base")
    published = prepared.publish(str(tmp_path / "store"))
    assert sorted(file.name for file in published.files) == sorted(OPENVINO_FILES)
    assert set(CONV_BASE_FILES) > set(OPENVINO_FILES)
    assert_maps_equal(OpenVINOEngine(published, 4).submit(pictures(SIDE)).result(), expected())


CASES: dict[str, Callable[[], bytes]] = {
    "batches of one, flattened for any": lambda: RESNET.onnx((1, 3, SIDE, SIDE)),
    "batches of one, by their shape": lambda: RESNET.onnx((1, 3, SIDE, SIDE), flattened=np.array([1, -1])),
    "batches of one, by all of it": lambda: RESNET.onnx((1, 3, SIDE, SIDE), flattened=np.array([1, 8])),
    "pictures of any size": lambda: RESNET.onnx(("n", 3, "h", "w")),
}


@pytest.mark.parametrize("case", CASES)
def test_batches_are_of_any_size_whatever_the_file_was_saved_for(case: str, tmp_path: Path) -> None:
    path = saved(tmp_path / "saved", CASES[case]())
    exported(spec_of(path, input_shape=(SIDE, SIDE, 3)), tmp_path / "base")
    assert_maps_equal(features(tmp_path / "base", pictures(SIDE), 4), expected())


def test_features_are_the_same_bytes_in_batches_of_any_size(tmp_path: Path) -> None:
    exported(spec_of(saved(tmp_path / "saved", RESNET.onnx())), tmp_path / "base")
    first, *others = (features(tmp_path / "base", pictures(SIDE), size) for size in (1, 2, 3, 4, 7))
    for found in others:
        for ours, theirs in zip(found, first, strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("preprocess", ["none", "scale_1", "scale_-1_1", "torch", "mean=0.4,std=0.2"])
def test_preprocessing_is_a_part_of_the_base(preprocess: str, tmp_path: Path) -> None:
    path = saved(tmp_path / "saved", RESNET.onnx())
    exported(spec_of(path, preprocess=preprocess), tmp_path / "base")
    assert_maps_equal(features(tmp_path / "base", pictures(SIDE), 4), expected(preprocess=preprocess))


def test_caffe_turns_colours_round(tmp_path: Path) -> None:
    path = saved(tmp_path / "saved", RESNET.onnx())
    exported(spec_of(path, preprocess="caffe"), tmp_path / "base")
    values = PixelValues.of("caffe", 3)
    found = RESNET.keras(pictures(SIDE)[..., ::-1].astype(np.float32) + np.float32(values.offset))
    assert_maps_equal(features(tmp_path / "base", pictures(SIDE), 4), [found[name] for name in LAYERS])


def test_channels_last_as_tensorflow_has_them(tmp_path: Path) -> None:
    path = saved(tmp_path / "saved", RESNET.onnx(("batch", SIDE, SIDE, 3), channels_last=True))
    layers = (*LAYERS, "/layer1/last_output_0")
    for pooling in ("none", "avg"):
        spec = exported(spec_of(path, pooling=pooling, layers=layers), tmp_path / pooling)
        maps = [*expected(), expected()[1]]
        assert_maps_equal(features(tmp_path / pooling, pictures(SIDE), 4), maps, pooling)
        assert spec.feature_shapes[1] == spec.feature_shapes[3]


def test_a_network_of_grey_pictures_is_given_grey(tmp_path: Path) -> None:
    from PIL import Image

    grey = SmallResNet.random(channels=1)
    path = saved(tmp_path / "saved", grey.onnx(("batch", 1, SIDE, SIDE)))
    spec = exported(spec_of(path, preprocess="scale_1"), tmp_path / "base")
    assert spec.input_shape == (SIDE, SIDE, 3)
    by_pillow = np.stack([np.asarray(Image.fromarray(picture).convert("L")) for picture in pictures(SIDE)])
    found = grey.keras(by_pillow[..., None].astype(np.float32) / np.float32(255))
    assert_maps_equal(features(tmp_path / "base", pictures(SIDE), 4), [found[name] for name in LAYERS])
    assert sum(GREY_PARTS) == 65536


def test_openvino_files_give_what_their_onnx_file_gives(tmp_path: Path) -> None:
    onnx = saved(tmp_path / "saved", RESNET.onnx())
    openvino.save_model(openvino.Core().read_model(onnx), str(tmp_path / "saved" / "mine.xml"), compress_to_fp16=False)
    specs = [exported(spec_of(tmp_path / "saved" / name), tmp_path / name) for name in ("mine.onnx", "mine.xml")]
    first, second = (features(tmp_path / name, pictures(SIDE), 2) for name in ("mine.onnx", "mine.xml"))
    for ours, theirs in zip(first, second, strict=True):
        assert_equal(ours, theirs)
    assert specs[0].fingerprint != specs[1].fingerprint


def test_weights_beside_an_onnx_file_are_a_part_of_it(tmp_path: Path) -> None:
    values = b"".join(value.tobytes() for value in RESNET.weights.values())
    alone = exported(spec_of(saved(tmp_path / "alone", RESNET.onnx())), tmp_path / "a")
    path = saved(tmp_path / "saved", RESNET.onnx(location="mine.onnx.data"))
    saved(tmp_path / "saved", values, "mine.onnx.data")
    spec = exported(spec_of(path), tmp_path / "b")
    for ours, theirs in zip(
        features(tmp_path / "a", pictures(SIDE), 2), features(tmp_path / "b", pictures(SIDE), 2), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    assert spec.weights_sha256 != alone.weights_sha256
    saved(tmp_path / "saved", values[:-4] + bytes(4), "mine.onnx.data")
    assert exported(spec_of(path), tmp_path / "c").weights_sha256 != spec.weights_sha256
    with pytest.raises(ConvbaseError, match="the spec says"):
        exported(dataclasses.replace(spec, weights=str(path)), tmp_path / "d")


def test_layers_are_listed_with_their_shapes(tmp_path: Path) -> None:
    path = saved(tmp_path, RESNET.onnx())
    lines = summarise_conv_base(spec_of(path, layers=())).splitlines()
    assert "Pictures: 64 × 64 pixels (height × width), in colour." in lines
    named = {line.split()[0]: line for line in lines if line.startswith("  ")}
    assert named.keys() >= {*LAYERS, "/conv1/Conv_output_0", "/relu/Relu_output_0", "/layer1/Add_output_0"}
    assert "(16, 16, 8)" in named[LAYERS[1]]
    assert not [name for name in named if "pixels" in name]


def test_the_last_layer_unless_others_are_named(tmp_path: Path) -> None:
    spec = exported(spec_of(saved(tmp_path, RESNET.onnx()), layers=()), tmp_path / "base")
    assert spec.layers == ("logits",)


def graph(nodes: list[bytes], *inputs: bytes, weights: tuple[bytes, ...] = ()) -> bytes:
    return model(nodes, weights, inputs, [value_info("out", ["n", "c"])])


INPUT = value_info("input", ["n", 3, SIDE, SIDE])
WHOLE = RESNET.onnx()
# In the order of the sentence that is said.
REFUSED: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "damaged, or no ONNX file"),
    "no network": (b"x" * 1000, "damaged, or no ONNX file"),
    "half of one": (WHOLE[: len(WHOLE) // 2], "damaged, or no ONNX file"),
    "an operation that nobody knows": (graph([node("Evil", ["input"], "out")], INPUT), "mine.onnx is no network that"),
    "weights elsewhere": (RESNET.onnx(location="../secret"), "keeps weights in ../secret, which is no file beside it"),
    "weights at an absolute path": (RESNET.onnx(location="/etc/passwd"), "keeps weights in /etc/passwd, which is no"),
    "weights that are not there": (RESNET.onnx(location="gone.bin"), "gone.bin cannot be read"),
    "weights that are too short": (RESNET.onnx(location="short.bin"), "mine.onnx is no network that OpenVINO runs"),
    "two inputs": (
        graph([node("Add", ["input", "other"], "out")], INPUT, value_info("other", ["n", 3, SIDE, SIDE])),
        "takes [?, 3, 64, 64] and [?, 3, 64, 64]; a conv base takes pictures and nothing else",
    ),
    "vectors": (graph([node("Relu", ["input"], "out")], value_info("input", ["n", 10])), "takes [?, 10]; a conv base"),
    "four channels": (
        graph([node("Relu", ["input"], "out")], value_info("input", ["n", 4, SIDE, SIDE])), "takes [?, 4, 64, 64];"
    ),
    "pictures of any size": (RESNET.onnx(("n", 3, "h", "w")), "takes pictures of any size: give --input_shape=H,W,3"),
    "a batch as one": (
        graph([node("ReduceMean", ["input"], "m", axes=[0], keepdims=1), node("Sub", ["input", "m"], "out")], INPUT),
        "computes a picture otherwise when others are in its batch",
    ),
    "10^13 floats": (
        graph(
            [node("Expand", ["first", "shape"], "large"), node("ReduceSum", ["large", "axes"], "sum", keepdims=1),
             node("Add", ["input", "sum"], "out")],
            INPUT,
            weights=(tensor("first", np.ones(1, np.float32)), tensor("shape", np.array([10**7, 10**6])),
                     tensor("axes", np.array([0, 1]))),
        ),
        "mine.onnx",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_such_network_is_refused_by_a_sentence(case: str, tmp_path: Path) -> None:
    content, sentence = REFUSED[case]
    path = saved(tmp_path / "saved", content)
    saved(tmp_path / "saved", b"1234", "short.bin")
    (tmp_path / "secret").write_bytes(b"".join(value.tobytes() for value in RESNET.weights.values()))
    (tmp_path / "base").mkdir()
    with pytest.raises(ConvbaseError) as raised:
        prepare_conv_base(spec_of(path, layers=()), tmp_path / "base")
    assert sentence in str(raised.value)
    assert raised.value.exit_code == 2
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 500


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"preprocess": None}, "mine.onnx does not say what it expects of pixels: give --preprocess: none, scale_1,"),
        ({"layers": ("logit",)}, "mine.onnx has no layer 'logit'; did you mean 'logits'"),
        ({"input_shape": (32, 64, 3)}, "mine.onnx takes pictures of 64 × 64 pixels; input_shape is another one"),
    ],
)
def test_what_a_spec_asks_for_in_vain(fields: dict[str, object], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidSpec) as raised:
        exported(spec_of(saved(tmp_path, RESNET.onnx()), **fields), tmp_path / "base")
    assert sentence in str(raised.value)


def test_whole_numbers_say_what_is_expected(tmp_path: Path) -> None:
    cast = [node("Cast", ["input"], "out", to=1)]
    path = saved(tmp_path, graph(cast, value_info("input", ["n", 3, SIDE, SIDE], kind=2)))
    spec = exported(spec_of(path, preprocess=None, layers=("out",), pooling="none"), tmp_path / "base")
    assert spec.preprocess == "none"
    (found,) = features(tmp_path / "base", pictures(SIDE), 2)
    np.testing.assert_array_equal(found, pictures(SIDE).reshape(4, -1).astype(np.float32))
    with pytest.raises(InvalidSpec, match="takes pixels as whole numbers, 0 to 255: --preprocess=torch is none of its"):
        exported(spec_of(path, layers=("out",)), tmp_path / "other")
