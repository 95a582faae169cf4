"""Finding data sets that hold their images themselves: Parquet files with a column of images, TFRecord files."""

import concurrent.futures
import functools
import glob
import re
from collections.abc import Sequence
from typing import Final

import pyarrow.compute as pc

from schemas.images import PROBLEM
from schemas.storage import input_file_system
from transforms.archives import HEADER_BYTES, RecordFeatures, is_tfrecord
from transforms.folders import IgnoredFiles
from transforms.manifests import (
    ManifestFormat,
    ManifestOptions,
    NamedFormat,
    file_name,
    look_at_manifest,
    named_format,
)
from transforms.source_kinds import (
    FolderSource,
    GlobSource,
    ImageTableSource,
    ListingRules,
    Source,
    TFRecordSource,
    image_table,
    split_of_file,
)
from transforms.sources.listing import list_source

PARQUET: Final = NamedFormat(ManifestFormat.PARQUET)

_RECORDS: Final = re.compile(r"\.tfrec(?:ord)?s?(?:-\d+-of-\d+)?(?:\.gz)?$", re.IGNORECASE)
# What TensorFlow's own scripts write, `train-00000-of-01024`, and others too.
_PARTS: Final = re.compile(r"-\d+-of-\d+$")
_THREADS: Final = 16


def holds_records(uri: str) -> bool:
    """Whether a file is one of records, by its name, or by its beginning where its name has no extension."""
    if is_named_as_records(uri):
        return True
    if "." in file_name(uri):
        return False
    fs, path = input_file_system(uri)
    return is_tfrecord(fs.cat_file(path, end=HEADER_BYTES))


def is_named_as_records(uri: str) -> bool:
    """Whether a file is named as one of records."""
    return _RECORDS.search(file_name(uri)) is not None


def record_source(uri: str, options: ManifestOptions) -> TFRecordSource:
    """Returns a file of records as a source."""
    return TFRecordSource(uri, RecordFeatures(options.label_column, options.split_column), split_of_file(uri))


def data_sets_in(folder: FolderSource, options: ManifestOptions, rules: ListingRules) -> Sequence[Source]:
    """Returns the data sets of a folder, by name."""
    uris = _uris(GlobSource(f"{glob.escape(folder.uri.rstrip('/'))}/**"), rules)
    tables = [uri for uri in uris if named_format(uri) == PARQUET]
    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        found = list(pool.map(functools.partial(_table_at, options=options), tables))
    return [*(table for table in found if table is not None), *_records(uris, options)]


def records_in(files: GlobSource, options: ManifestOptions, rules: ListingRules) -> Sequence[Source]:
    """Returns the files of records that a glob takes, by name, if these are all that it takes."""
    uris = _uris(files, rules)
    found = _records(uris, options)
    return found if len(found) == len(uris) else []


def _uris(files: GlobSource, rules: ListingRules) -> list[str]:
    batches = list_source(files, rules, IgnoredFiles())
    followed = (batch.filter(pc.is_null(batch.column(PROBLEM))) for batch in batches)
    return sorted(uri for batch in followed for uri in batch.column("uri").to_pylist())


def _table_at(uri: str, options: ManifestOptions) -> ImageTableSource | None:
    return image_table(look_at_manifest(uri, PARQUET, options), options)


def _records(uris: Sequence[str], options: ManifestOptions) -> list[Source]:
    named = [uri for uri in uris if is_named_as_records(uri)]
    parts = [uri for uri in uris if _PARTS.search(uri) and not is_named_as_records(uri)]
    named += parts if parts and holds_records(parts[0]) else []
    return [record_source(uri, options) for uri in sorted(named)]
