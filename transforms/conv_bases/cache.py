"""The user's own cache of built conv bases, so that a new store with a base that was built before has it at once.

    <cache>/<key>/       the files of a published conv base, as in a store
    <cache>/compiled/    what JAX has compiled for a GPU, which JAX bounds by itself

Where the cache is, `schemas/caches` says. The key is a hash of all that a base is built from: the fields of the spec
that matter to it, as they were asked, the bytes of a weights file, the versions of what builds it, and our own code
that does. A cache that cannot be read or written is none: it may cost time, never a run. What is in it computes
features, and code in compiled programs runs: so a folder that is another user's, or that others can write to, is none
either, and nor is such an entry, or one that holds another base than its key says.
"""

import dataclasses
import errno
import hashlib
import importlib.metadata
import inspect
import json
import logging
import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

from schemas.caches import FETCHED, cache_folder, evict, is_own
from schemas.errors import InvalidSpec, RunFailed
from schemas.spec import IMAGENET, NO_WEIGHTS, FeatureSpec
from schemas.storage import PublishedBase, rename_folder
from transforms.conv_bases import publishing
from transforms.conv_bases.published import fetch_published, published_spec
from transforms.conv_bases.publishing import PreparedConvBase, prepare_conv_base, publish_files
from transforms.networks import exporting_code
from transforms.origins import building_code, files_of_origin, saved_sha256

COMPILED: Final = "compiled"

# Every base of `keras.applications` but the very largest, several times over; those not used for longest go first.
MOST_BYTES: Final = 4 * 10**9

# What else is in the cache, each bounded by itself.
_NO_CONV_BASES: Final = frozenset({COMPILED, FETCHED})

# What decides which pixels there are, and where weights came from, is not built into a base.
_NOT_BUILT_IN: Final = frozenset(
    {"weights", "interpolation", "exif_orientation", "decode", "truncated", "resize", "crop_ratio", "augmentation"}
)
_RESOLVED: Final = ("weights_sha256", "input_shape", "preprocess", "layers", "feature_shapes")
_BUILT_WITH: Final = ("keras", "numpy", "openvino")

# What taking an entry raises that is damaged, has been removed, or is none.
_UNUSABLE: Final = (OSError, RunFailed, InvalidSpec, ValueError, LookupError, TypeError)

_LOGGER: Final = logging.getLogger(__name__)


def cached_conv_base(spec: FeatureSpec, folder: Path) -> PreparedConvBase:
    """Takes the conv base of a spec from the cache, or builds it and puts it there.

    Args:
        spec: A spec; fields that it leaves open are filled in.
        folder: A local folder, empty, for its files.

    Raises:
        InvalidSpec: If it cannot be built, or has no such layer.
        WeightsUnavailable: If the weights cannot be had or do not fit.
        RunFailed: If the process that builds it is killed.
    """
    cache = cache_folder()
    if cache is None:
        return prepare_conv_base(spec, folder)
    entry = cache / cache_key(spec)
    prepared = _take(entry, spec, folder)
    if prepared is None:
        prepared = prepare_conv_base(spec, folder)
        _put(entry, prepared)
    return prepared


def cache_key(spec: FeatureSpec) -> str:
    """Returns the name of a conv base in the cache.

    Raises:
        WeightsUnavailable: If the spec names a weights file that cannot be read.
    """
    asked = {name: value for name, value in spec.to_dict().items() if name not in _NOT_BUILT_IN}
    if spec.weights in {NO_WEIGHTS, IMAGENET}:
        asked["weights"] = spec.weights
    elif spec.weights_sha256 is None:
        asked["weights_sha256"] = saved_sha256(spec.weights)
    versions = {name: importlib.metadata.version(name) for name in _BUILT_WITH}
    code = [inspect.getsource(publishing), *building_code(), *exporting_code()]
    built_from = json.dumps([asked, versions, code], sort_keys=True)
    return hashlib.sha256(built_from.encode()).hexdigest()[:32]


def _take(entry: Path, spec: FeatureSpec, folder: Path) -> PreparedConvBase | None:
    """Copies an entry's files, each compared with the SHA-256 that it was put there with."""
    if not entry.exists():
        return None
    try:
        if not is_own(entry):
            raise PermissionError(f"{entry} is not this user's alone.")
        built = published_spec(str(entry))
        fetch_published(PublishedBase(str(entry)), files_of_origin(spec), folder)
        resolved = dataclasses.replace(spec, **{name: getattr(built, name) for name in _RESOLVED})
        if not _is_built_from(built, spec):
            raise LookupError(f"{entry} holds another base.")
        os.utime(entry)
    except _UNUSABLE:
        _LOGGER.debug("The cached conv base %s is built again.", entry, exc_info=True)
        shutil.rmtree(entry, ignore_errors=True)
        return None
    return PreparedConvBase(resolved, folder)


def _is_built_from(built: FeatureSpec, asked: FeatureSpec) -> bool:
    """Whether all that a base is built from is as it was asked for, where it was."""
    fields = {name: value for name, value in asked.to_dict().items() if name not in _NOT_BUILT_IN}
    return all(value in (None, [], built.to_dict()[name]) for name, value in fields.items())


def _put(entry: Path, prepared: PreparedConvBase) -> None:
    try:
        entry.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=entry.parent, ignore_cleanup_errors=True) as unfinished:
            whole = Path(unfinished, entry.name)
            publish_files(prepared.folder, files_of_origin(prepared.spec), str(whole), prepared.spec)
            whole.chmod(0o700)
            rename_folder(whole, entry)
        evict((other for other in entry.parent.iterdir() if other.name not in _NO_CONV_BASES), MOST_BYTES)
    except OSError as error:
        if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:  # Another process was first.
            _LOGGER.debug("The conv base was not cached.", exc_info=True)
