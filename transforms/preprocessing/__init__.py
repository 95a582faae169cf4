"""What networks expect of pictures: how they are resized, and what becomes of the values of their pixels."""

from transforms.preprocessing.pixel_values import GREY_HALF, GREY_PARTS, GREY_UNIT, PixelValues
from transforms.preprocessing.resizing import Placement, placed

__all__ = ["GREY_HALF", "GREY_PARTS", "GREY_UNIT", "PixelValues", "Placement", "placed"]
