"""Conv bases: built from `keras.applications`, published into a store, cached, and run by an engine."""

from transforms.conv_bases.applications import build_conv_base, load_application, sha256_of, weights_file_sha256
from transforms.conv_bases.cache import cached_conv_base
from transforms.conv_bases.engine import Engine, Features
from transforms.conv_bases.engine_selection import AUTO, BATCH_SIZES, EngineName, choose_engine, load_engine
from transforms.conv_bases.openvino_engine import OpenVINOEngine
from transforms.conv_bases.publishing import (
    KERAS_FILE,
    export_to_openvino,
    fetch_published,
    in_keras_process,
    publish_files,
    summarise_conv_base,
)
from transforms.conv_bases.republishing import republish

__all__ = [
    "AUTO",
    "BATCH_SIZES",
    "KERAS_FILE",
    "Engine",
    "EngineName",
    "Features",
    "OpenVINOEngine",
    "build_conv_base",
    "cached_conv_base",
    "choose_engine",
    "export_to_openvino",
    "fetch_published",
    "in_keras_process",
    "load_application",
    "load_engine",
    "publish_files",
    "republish",
    "sha256_of",
    "summarise_conv_base",
    "weights_file_sha256",
]
