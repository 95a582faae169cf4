"""The bytes of an image file become a picture: what is taken, what it may cost, which way up it is.

Needs neither Arrow nor a file system: decoder processes begin with it.
"""

from transforms.decoding.decoding import Picture, decode_image
from transforms.decoding.rules import (
    DECODE_MEMORY,
    DECODE_TIMEOUT,
    FORMATS,
    MAX_BYTES,
    MAX_PIXELS,
    MAX_SIDE,
    DecodingLimits,
    DecodingRules,
    format_by_name,
)

__all__ = [
    "DECODE_MEMORY",
    "DECODE_TIMEOUT",
    "FORMATS",
    "MAX_BYTES",
    "MAX_PIXELS",
    "MAX_SIDE",
    "DecodingLimits",
    "DecodingRules",
    "Picture",
    "decode_image",
    "format_by_name",
]
