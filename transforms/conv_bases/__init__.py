"""Conv bases: published into a store, cached, and run by an engine.

Names are imported when they are first used, so that a command imports what it needs and no more.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transforms.conv_bases.cache import cached_conv_base
    from transforms.conv_bases.engine import Engine, Features
    from transforms.conv_bases.engine_selection import (
        AUTO,
        BATCH_SIZES,
        TF32_NEEDS_A_GPU,
        EngineName,
        choose_engine,
        default_batch_size,
        load_engine,
    )
    from transforms.conv_bases.openvino_engine import OpenVINOEngine
    from transforms.conv_bases.published import (
        damaged_files,
        fetch_published,
        files_of_base,
        is_published,
        unpublish,
    )
    from transforms.conv_bases.publishing import summarise_conv_base
    from transforms.conv_bases.republishing import republish
else:
    from schemas.lazy_imports import lazy_attributes

    __getattr__ = lazy_attributes(
        __name__,
        {
            "transforms.conv_bases.cache": ["cached_conv_base"],
            "transforms.conv_bases.engine": ["Engine", "Features"],
            "transforms.conv_bases.engine_selection": [
                "AUTO",
                "BATCH_SIZES",
                "TF32_NEEDS_A_GPU",
                "EngineName",
                "choose_engine",
                "default_batch_size",
                "load_engine",
            ],
            "transforms.conv_bases.openvino_engine": ["OpenVINOEngine"],
            "transforms.conv_bases.published": [
                "damaged_files",
                "fetch_published",
                "files_of_base",
                "is_published",
                "unpublish",
            ],
            "transforms.conv_bases.publishing": ["summarise_conv_base"],
            "transforms.conv_bases.republishing": ["republish"],
        },
    )

__all__ = [
    "AUTO",
    "BATCH_SIZES",
    "TF32_NEEDS_A_GPU",
    "Engine",
    "EngineName",
    "Features",
    "OpenVINOEngine",
    "cached_conv_base",
    "choose_engine",
    "damaged_files",
    "default_batch_size",
    "fetch_published",
    "files_of_base",
    "is_published",
    "load_engine",
    "republish",
    "summarise_conv_base",
    "unpublish",
]
