"""Architectures of torchvision with random weights, as PyTorch exports them, and what PyTorch makes of pictures.

    python -m tests.support.torchvision_networks FOLDER

It is a process of its own: PyTorch ends one that has imported TensorFlow. FOLDER has `pixels.npy`, uint8 [n, H, W, 3];
it gets a file `NAME.onnx` for each of `NETWORKS`, and a `NAME.npz` with the features of its layers, float32 [n, D],
maps averaged.
"""

import dataclasses
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

SIDE: Final = 64
# ImageNet's, as torchvision's weights want them.
_MEAN: Final = (0.485, 0.456, 0.406)
_STD: Final = (0.229, 0.224, 0.225)


@dataclasses.dataclass(frozen=True)
class Network:
    """An architecture of torchvision.

    Attributes:
        build: Makes it, given `torchvision.models`.
        layers: By the names that the file gives them, the names of its nodes in torchvision.
        dynamo: Whether it is exported by `torch.export`, or as before that by tracing.
    """

    build: Callable[[Any], Any]
    layers: Mapping[str, str]
    dynamo: bool = True


NETWORKS: Final = {
    "resnet18": Network(lambda models: models.resnet18(), {"relu_16": "layer4", "linear": "fc"}),
    "traced_resnet18": Network(
        lambda models: models.resnet18(),
        {"/layer4/layer4.1/relu_1/Relu_output_0": "layer4", "/Flatten_output_0": "flatten"},
        dynamo=False,
    ),
    "mobilenet_v3_small": Network(
        lambda models: models.mobilenet_v3_small(), {"hardswish_17": "features", "linear_1": "classifier.3"}
    ),
    "vision_transformer": Network(
        lambda models: models.VisionTransformer(SIDE, 16, 2, 2, 16, 32), {"select_6": "getitem_5"}
    ),
}


def write_network(name: str, folder: Path) -> None:
    """Writes the two files of a network."""
    import torch
    from torchvision.models.feature_extraction import create_feature_extractor
    from torchvision.transforms.functional import normalize

    network, model, path = NETWORKS[name], _built(NETWORKS[name]), folder / f"{name}.onnx"
    example = (torch.zeros(2, 3, SIDE, SIDE),)
    if network.dynamo:
        torch.onnx.export(model, example, path, dynamic_shapes=({0: torch.export.Dim("batch")},))
    else:
        axes = {"pixels": {0: "batch"}}
        torch.onnx.export(model, example, path, input_names=["pixels"], dynamic_axes=axes, dynamo=False)
    pixels = torch.from_numpy(np.load(folder / "pixels.npy")).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        found = create_feature_extractor(model, [*network.layers.values()])(normalize(pixels, _MEAN, _STD))
    features = {layer: found[node] for layer, node in network.layers.items()}
    arrays = {layer: (each.mean((2, 3)) if each.ndim == 4 else each).numpy() for layer, each in features.items()}
    np.savez(folder / f"{name}.npz", **arrays)


def _built(network: Network) -> Any:
    """A network whose normalisations have seen pictures, so that its features depend on theirs."""
    import torch
    import torchvision

    torch.manual_seed(0)
    model = network.build(torchvision.models).train()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # The mean of all that it has seen, and not mostly what it began with.
    with torch.no_grad():
        for _ in range(3):
            model(torch.randn(8, 3, SIDE, SIDE))
    return model.eval()


if __name__ == "__main__":
    for each in NETWORKS:
        write_network(each, Path(sys.argv[1]))
