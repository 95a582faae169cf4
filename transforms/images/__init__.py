"""From a URI to a batch of pixels: fetching, decoding, random augmentation, loading a shard's images.

Names are imported when they are first used: a decoder process needs the decoder, and neither Arrow nor fsspec.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transforms.images.augmentation import augmented
    from transforms.images.augmented_images import AugmentedImages
    from transforms.images.batches import BadImage, Batch, ImageFile, LoadedPicture
    from transforms.images.decoding import (
        DECODE_MEMORY,
        DECODE_TIMEOUT,
        FORMATS,
        MAX_BYTES,
        MAX_PIXELS,
        MAX_SIDE,
        DecodingLimits,
        DecodingRules,
        decode_image,
        format_by_name,
    )
    from transforms.images.fetching import fetch_image
    from transforms.images.loading import LoadingPools, LoadingRules, load_batches
else:
    from schemas.lazy_imports import lazy_attributes

    __getattr__ = lazy_attributes(
        __name__,
        {
            "transforms.images.augmentation": ["augmented"],
            "transforms.images.augmented_images": ["AugmentedImages"],
            "transforms.images.decoding": [
                "DECODE_MEMORY",
                "DECODE_TIMEOUT",
                "DecodingLimits",
                "DecodingRules",
                "FORMATS",
                "MAX_BYTES",
                "MAX_PIXELS",
                "MAX_SIDE",
                "decode_image",
                "format_by_name",
            ],
            "transforms.images.fetching": ["fetch_image"],
            "transforms.images.batches": ["BadImage", "Batch", "ImageFile", "LoadedPicture"],
            "transforms.images.loading": ["LoadingPools", "LoadingRules", "load_batches"],
        },
    )

__all__ = [
    "DECODE_MEMORY",
    "DECODE_TIMEOUT",
    "FORMATS",
    "MAX_BYTES",
    "MAX_PIXELS",
    "MAX_SIDE",
    "AugmentedImages",
    "BadImage",
    "Batch",
    "DecodingLimits",
    "DecodingRules",
    "ImageFile",
    "LoadedPicture",
    "LoadingPools",
    "LoadingRules",
    "augmented",
    "decode_image",
    "fetch_image",
    "format_by_name",
    "load_batches",
]
