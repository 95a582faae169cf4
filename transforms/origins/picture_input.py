"""The input of a saved network: which pictures it takes, and what it expects of their pixels."""

import dataclasses
from collections.abc import Sequence
from typing import Final, NamedTuple, Self

from schemas.errors import InvalidSpec
from schemas.spec import PREPROCESSINGS, FeatureSpec

_CHANNELS: Final = frozenset({1, 3})


class PictureInput(NamedTuple):
    """What a network takes.

    Attributes:
        height: Pixels; None for any number.
        width: Pixels; None for any number.
        channels: 3, or 1 for grey.
        channels_first: Whether it takes [N, C, H, W] in place of [N, H, W, C].
        takes_integers: Whether its pixels are whole numbers, and so 0 to 255.
    """

    height: int | None
    width: int | None
    channels: int
    channels_first: bool
    takes_integers: bool

    @classmethod
    def of(cls, name: str, shapes: Sequence[Sequence[int | None]], *, takes_integers: bool) -> Self:
        """Reads the shapes of a network's inputs.

        Args:
            name: The network's.
            shapes: One of each input, the batch's axis first; None is any length.
            takes_integers: Whether the input is of integers.

        Raises:
            InvalidSpec: If it takes anything but pictures.
        """
        texts = " and ".join(f"[{', '.join('?' if side is None else str(side) for side in shape)}]" for shape in shapes)
        refusal = InvalidSpec(
            f"{name} takes {texts or 'nothing that it names'}; a conv base takes pictures and nothing else: [N, H, W, "
            "C] or [N, C, H, W], with one or three channels."
        )
        if len(shapes) != 1 or len(shapes[0]) != 4:
            raise refusal
        _, first, second, last = shapes[0]
        if last in _CHANNELS and first not in _CHANNELS:
            return cls(first, second, int(last), channels_first=False, takes_integers=takes_integers)
        if first in _CHANNELS and last not in _CHANNELS:
            return cls(second, last, int(first), channels_first=True, takes_integers=takes_integers)
        raise refusal

    @property
    def limits(self) -> str:
        """Which pictures it takes, as a sentence."""
        sides = f"{self.height or 'any'} × {self.width or 'any'} pixels (height × width)"
        return f"Pictures: {sides}, {'in colour' if self.channels == 3 else 'in grey'}."

    def resolved(self, spec: FeatureSpec, said: str | None) -> FeatureSpec:
        """Fills in what a spec leaves open and the network says.

        Args:
            spec: The spec.
            said: The preprocessing that the file speaks of, if it does.

        Raises:
            InvalidSpec: If the spec asks for another shape, or leaves open what nobody says.
        """
        name = spec.conv_base
        height, width, _ = spec.input_shape or (self.height, self.width, 3)
        if height is None or width is None:
            raise InvalidSpec(f"{name} takes pictures of any size: give --input_shape=H,W,3.")
        if self.height not in {None, height} or self.width not in {None, width}:
            raise InvalidSpec(
                f"{name} takes pictures of {self.height} × {self.width} pixels; input_shape is another one."
            )
        preprocess = spec.preprocess or ("none" if self.takes_integers else said)
        if preprocess is None:
            raise InvalidSpec(
                f"{name} does not say what it expects of pixels: give --preprocess: {', '.join(PREPROCESSINGS)}, or "
                "mean=…,std=…; none is 0 to 255, scale_1 is 0 to 1, torch is what torchvision and timm do."
            )
        if self.takes_integers and preprocess != "none":
            raise InvalidSpec(
                f"{name} takes pixels as whole numbers, 0 to 255: --preprocess={preprocess} is none of its."
            )
        return dataclasses.replace(spec, input_shape=(height, width, 3), preprocess=preprocess)
