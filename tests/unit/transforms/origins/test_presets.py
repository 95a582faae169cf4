"""Presets of Keras Hub: their features are those of Keras Hub, and pixels become what their image converter says."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schemas.errors import ConvbaseError
from schemas.spec import FeatureSpec
from tests.unit.transforms.conv_bases.test_conv_bases import assert_equal, pictures
from tests.unit.transforms.origins.test_saved_keras import published
from transforms.conv_bases import summarise_conv_base
from transforms.origins import said_by_preset, with_saved_network

SIDE = 64
NORMALISED = {"scale": [1 / 58.395, 1 / 57.12, 1 / 57.375], "offset": [-2.1179, -2.0357, -1.8044]}
VIT = {"num_layers": 2, "num_heads": 2, "hidden_dim": 32}


def resnet(hub: Any) -> Any:
    return hub.models.ResNetBackbone(
        input_conv_filters=[64], input_conv_kernel_sizes=[7], stackwise_num_filters=[64, 128],
        stackwise_num_blocks=[1, 1], stackwise_num_strides=[1, 2], block_type="basic_block",
    )  # fmt: skip


def vit(hub: Any) -> Any:
    return hub.models.ViTBackbone(image_shape=(SIDE, SIDE, 3), patch_size=16, mlp_dim=64, **VIT)


def dino(hub: Any) -> Any:
    return hub.models.DINOV2Backbone(
        image_shape=(56, 56, 3), position_embedding_shape=(56, 56), patch_size=14, intermediate_dim=64, **VIT
    )


def siglip(hub: Any) -> Any:
    vision = hub.models.SigLIPVisionEncoder(image_shape=(SIDE, SIDE, 3), patch_size=16, intermediate_dim=64, **VIT)
    text = hub.models.SigLIPTextEncoder(vocabulary_size=9, embedding_dim=32, max_sequence_length=4, intermediate_dim=64,
                                        **VIT)  # fmt: skip
    return hub.models.SigLIPBackbone(vision, text)


def swin(hub: Any) -> Any:
    return hub.models.SwinTransformerBackbone(
        image_shape=(SIDE, SIDE, 3), embed_dim=16, depths=[1, 1], num_heads=[2, 2], window_size=4
    )


BACKBONES = {"ResNet": resnet, "ViT": vit, "DINOV2": dino, "SigLIP": siglip, "SwinTransformer": swin}


def saved(name: str, folder: Path, **converter: Any) -> tuple[Any, Any]:
    """A preset with random weights, its backbone and its image converter."""
    hub = pytest.importorskip("keras_hub", reason="needs the extra keras-hub")
    import keras

    keras.utils.set_random_seed(0)
    backbone = BACKBONES[name](hub)
    backbone.save_to_preset(str(folder))
    side = 56 if name == "DINOV2" else SIDE
    made = getattr(hub.layers, f"{name}ImageConverter")(image_size=(side, side), **{**NORMALISED, **converter})
    made.save_to_preset(str(folder))
    return getattr(backbone, "vision_encoder", backbone), made


def spec_of(folder: Path, **fields: Any) -> FeatureSpec:
    asked = with_saved_network({"conv_base": f"keras_hub:{folder}"})
    return FeatureSpec(**{**said_by_preset(asked), **asked, **fields})


@pytest.mark.parametrize("name", BACKBONES)
def test_a_preset_gives_what_keras_hub_gives(name: str, tmp_path: Path) -> None:
    backbone, converter = saved(name, tmp_path / "mine")
    side = converter.image_size[0]
    spec, (found,) = published(spec_of(tmp_path / "mine", pooling="none"), tmp_path, pictures(side))
    expected = np.asarray(backbone(converter(pictures(side).astype(np.float32))))
    assert (spec.conv_base, spec.input_shape, spec.is_keras) == ("keras_hub:mine", (side, side, 3), False)
    assert found.shape[1] == math.prod(spec.feature_shapes[0])
    assert_equal(found, expected.reshape(len(found), -1))
    assert spec.layers[0] in summarise_conv_base(spec)


def test_layers_are_asked_for_by_name(tmp_path: Path) -> None:
    import keras

    backbone, converter = saved("ResNet", tmp_path / "mine")
    names = ["pool1_pool", "stack0_block0_out"]
    _, found = published(spec_of(tmp_path / "mine", layers=(*names,)), tmp_path, pictures(SIDE))
    part = keras.Model(backbone.inputs, [backbone.get_layer(name).output for name in names])
    for ours, theirs in zip(found, part(converter(pictures(SIDE).astype(np.float32))), strict=True):
        assert_equal(ours, np.asarray(theirs).mean((1, 2)))


@pytest.mark.parametrize(
    ("said", "fields"),
    [
        ({}, {"preprocess": "scale=1.0,offset=0.0", "resize": "crop", "interpolation": "bilinear"}),
        ({"image_size": [48, 40], "crop_to_aspect_ratio": False, "interpolation": "lanczos3"},
         {"preprocess": "scale=1.0,offset=0.0", "resize": "stretch", "interpolation": "lanczos",
          "input_shape": (48, 40, 3)}),
        ({"scale": 0.5, "offset": [-1, 2.5, 1e-7], "crop_to_aspect_ratio": False, "pad_to_aspect_ratio": True},
         {"preprocess": "scale=0.5,offset=-1.0,2.5,1e-07", "resize": "pad", "interpolation": "bilinear"}),
    ],
)  # fmt: skip
def test_an_image_converter_decides_the_spec(said: dict[str, Any], fields: dict[str, Any], tmp_path: Path) -> None:
    put(tmp_path, image_converter={"config": said})
    asked = with_saved_network({"conv_base": f"keras_hub:{tmp_path}"})
    assert said_by_preset(asked) == fields
    assert FeatureSpec(**{**fields, **asked}).preprocess == fields["preprocess"]


def put(folder: Path, **files: Any) -> None:
    """What is needed of a preset to be read."""
    for name, content in {"config": {}, **files}.items():
        Path(folder, f"{name}.json").write_text(json.dumps(content))
    Path(folder, "model.weights.h5").write_bytes(b"weights")


def test_what_an_image_converter_says_that_is_not_known_is_refused(tmp_path: Path) -> None:
    put(tmp_path, image_converter={"config": {"interpolation": "lanczos5"}})
    with pytest.raises(ConvbaseError, match=r"image_converter\.json of the preset says .*lanczos5"):
        said_by_preset(with_saved_network({"conv_base": f"keras_hub:{tmp_path}"}))


def test_every_file_of_a_preset_is_in_the_fingerprint(tmp_path: Path) -> None:
    from transforms.origins import saved_sha256

    put(tmp_path, image_converter={"config": {}})
    uri = with_saved_network({"conv_base": f"keras_hub:{tmp_path}/config.json"})["weights"]
    seen = {saved_sha256(uri)}
    for name in ("config.json", "image_converter.json", "model.weights.h5"):
        Path(tmp_path, name).write_bytes(Path(tmp_path, name).read_bytes() + b" ")
        seen.add(saved_sha256(uri))
    Path(tmp_path, "README.md").write_text("nothing that counts")
    assert len(seen | {saved_sha256(uri)}) == 4


def test_weights_in_several_files_lie_beside_their_list(tmp_path: Path) -> None:
    from transforms.origins.saved_files import read_saved_files

    put(tmp_path)
    Path(tmp_path, "model.weights.h5").unlink()
    Path(tmp_path, "model_00000.weights.h5").write_bytes(b"weights")
    listed = Path(tmp_path, "model.weights.json")
    listed.write_text(json.dumps({"weight_map": {"/layers/a": ["model_00000.weights.h5"]}}))
    uri = with_saved_network({"conv_base": f"keras_hub:{tmp_path}"})["weights"]
    assert [*read_saved_files(uri)] == ["config.json", "model.weights.json", "model_00000.weights.h5"]
    listed.write_text(json.dumps({"weight_map": {"/layers/a": "../secret"}}))
    with pytest.raises(ConvbaseError, match=r"names \.\./secret, which is no file beside it"):
        read_saved_files(uri)


def test_what_is_no_preset_is_refused_by_a_sentence(tmp_path: Path) -> None:
    pytest.importorskip("keras_hub", reason="needs the extra keras-hub")
    put(tmp_path, config={"registered_name": "keras_hub>Nothing", "class_name": "Nothing", "config": {}})
    with pytest.raises(ConvbaseError, match=r"it is no preset that Keras Hub opens: ") as raised:
        published(spec_of(tmp_path, preprocess="none"), tmp_path, pictures(SIDE))
    assert raised.value.exit_code == 2
    assert "\n" not in str(raised.value)


def test_a_preset_without_an_image_converter_does_not_say_what_it_expects(tmp_path: Path) -> None:
    saved("ViT", tmp_path / "mine")
    Path(tmp_path, "mine", "image_converter.json").unlink()
    with pytest.raises(
        ConvbaseError, match=r"keras_hub:mine does not say what it expects of pixels: give --preprocess"
    ):
        published(spec_of(tmp_path / "mine"), tmp_path, pictures(SIDE))


@pytest.mark.parametrize("uri", ["https://host/mine.onnx?X-Amz-Signature=c0ffee", "https://a:c0ffee@host/mine.keras"])
def test_a_signed_address_is_refused_without_its_signature(uri: str) -> None:
    with pytest.raises(
        ConvbaseError, match=r"https://host/mine\.\w+ was given with a signature or a password"
    ) as raised:
        with_saved_network({"conv_base": uri})
    assert "c0ffee" not in str(raised.value)
    assert raised.value.exit_code == 2
