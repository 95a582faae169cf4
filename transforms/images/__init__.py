"""From a URI to a batch of pixels: fetching, decoders, random augmentation, loading a shard's images.

Names are imported when they are first used: a decoder process needs the decoder, and neither Arrow nor fsspec.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transforms.images.augmentation import augmented
    from transforms.images.augmented_images import AugmentedImages
    from transforms.images.batches import BadImage, Batch, ImageFile, LoadedPicture
    from transforms.images.fetching import fetch_image
    from transforms.images.loading import LoadingPools, LoadingRules, load_batches
else:
    from schemas.lazy_imports import lazy_attributes

    __getattr__ = lazy_attributes(
        __name__,
        {
            "transforms.images.augmentation": ["augmented"],
            "transforms.images.augmented_images": ["AugmentedImages"],
            "transforms.images.fetching": ["fetch_image"],
            "transforms.images.batches": ["BadImage", "Batch", "ImageFile", "LoadedPicture"],
            "transforms.images.loading": ["LoadingPools", "LoadingRules", "load_batches"],
        },
    )

__all__ = [
    "AugmentedImages",
    "BadImage",
    "Batch",
    "ImageFile",
    "LoadedPicture",
    "LoadingPools",
    "LoadingRules",
    "augmented",
    "fetch_image",
    "load_batches",
]
