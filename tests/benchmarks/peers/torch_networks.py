"""The same architectures in PyTorch, channels first: torchvision's, and MobileNet, which torchvision has not.

Weights are random: they cost what others cost. So the features are not those of Keras's networks.
"""

from collections.abc import Callable
from typing import Final

import torch
import torchvision
from torch import nn

# Output channels and stride of the 13 depthwise separable convolutions (https://arxiv.org/abs/1704.04861, table 1).
_MOBILENET: Final = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2),
    (512, 1), (512, 1), (512, 1), (512, 1), (512, 1), (1024, 2), (1024, 1),
)  # fmt: skip


def _convolution(channels: int, to: int, kernel: int, stride: int, groups: int = 1) -> list[nn.Module]:
    padding = kernel // 2
    return [nn.Conv2d(channels, to, kernel, stride, padding, groups=groups, bias=False), nn.BatchNorm2d(to), nn.ReLU6()]


def mobilenet() -> nn.Module:
    """Returns MobileNet without its top."""
    layers, channels = _convolution(3, 32, 3, 2), 32
    for to, stride in _MOBILENET:
        layers += [*_convolution(channels, channels, 3, stride, channels), *_convolution(channels, to, 1, 1)]
        channels = to
    return nn.Sequential(*layers)


def resnet50() -> nn.Module:
    """Returns torchvision's ResNet50 without its top."""
    return nn.Sequential(*list(torchvision.models.resnet50(weights=None).children())[:-2])


def vgg16() -> nn.Module:
    """Returns torchvision's VGG16 without its top."""
    return torchvision.models.vgg16(weights=None).features


NETWORKS: Final[dict[str, Callable[[], nn.Module]]] = {"MobileNet": mobilenet, "ResNet50": resnet50, "VGG16": vgg16}


class FeatureExtractor(nn.Module):
    """From pixels, uint8 [N, 3, H, W], to pooled features, float32 [N, D]."""

    def __init__(self, conv_base: str) -> None:
        """Builds a network.

        Args:
            conv_base: One of `NETWORKS`.
        """
        super().__init__()
        self.base = NETWORKS[conv_base]()

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Returns the features."""
        scaled = pixels.to(memory_format=torch.channels_last).float() / 127.5 - 1.0
        return self.base(scaled).mean((2, 3)).float()
