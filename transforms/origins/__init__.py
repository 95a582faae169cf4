"""Where conv bases come from: the builders of `keras.applications`, and networks that somebody has saved.

Names are imported when they are first used, so that a command imports what it needs and no more.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transforms.origins.applications import load_application
    from transforms.origins.finding import build_conv_base, building_code, origin_of
    from transforms.origins.origin import CONV_BASE_FILES, KERAS_FILE, OPENVINO_FILES, files_of_origin
    from transforms.origins.saved_files import network_name, said_by_preset, saved_sha256, with_saved_network
else:
    from schemas.lazy_imports import lazy_attributes

    __getattr__ = lazy_attributes(
        __name__,
        {
            "transforms.origins.applications": ["load_application"],
            "transforms.origins.finding": ["build_conv_base", "building_code", "origin_of"],
            "transforms.origins.origin": ["CONV_BASE_FILES", "KERAS_FILE", "OPENVINO_FILES", "files_of_origin"],
            "transforms.origins.saved_files": [
                "network_name",
                "said_by_preset",
                "saved_sha256",
                "with_saved_network",
            ],
        },
    )

__all__ = [
    "CONV_BASE_FILES",
    "KERAS_FILE",
    "OPENVINO_FILES",
    "build_conv_base",
    "building_code",
    "files_of_origin",
    "load_application",
    "network_name",
    "origin_of",
    "said_by_preset",
    "saved_sha256",
    "with_saved_network",
]
