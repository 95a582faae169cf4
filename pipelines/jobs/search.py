"""What `pipelines.search` does: finds the features that are asked for, and the images that are nearest to them."""

import argparse
import io
import sys
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.jobs.store import asked_images, pinned_version
from pipelines.options import decoding_limits
from schemas.errors import ImageError, InvalidInput, UsageError, shown, with_count
from schemas.images import ImageRef
from schemas.search import OpenIndex, find_index, is_faiss_installed
from schemas.storage import canonical_uri, check_file, write_file
from schemas.store import FeatureStore
from schemas.tables import feature_array

_STDIN: Final = "-"
_KINDS: Final = (".html", ".parquet", ".csv")


class Hits(NamedTuple):
    """What was found.

    Attributes:
        table: A row for each image, the nearest first: `distance`, and the columns of the table but features.
        how: How it was searched, as a sentence; empty where all images were compared, and there was no other way.
    """

    table: pa.Table
    how: str


def find_hits(given: argparse.Namespace) -> Hits:
    """Finds the images that are nearest to the one that is asked for, that one itself left out.

    Raises:
        ConvbaseError: If there is no such picture, or nothing that it could be compared with.
    """
    store = FeatureStore.open(given.store)
    layer, version = store.layer(given.layer), pinned_version(store, given.table_version)
    where = asked_images(given, store, version)
    uri = None if given.uri is None else canonical_uri(given.uri)
    if uri is None:
        features, k = _features_of_picture(given, store, layer), given.k
    else:
        features, k = _features_of_row(store, layer, version, uri), given.k + 1
    index, how = (None, "") if given.exact or where is not None else _index(store, layer, version)
    hits = store.neighbours(features, k, layer=layer, where=where, table_version=version, index=index).drop(["query"])
    return Hits(hits if uri is None else hits.filter(pc.not_equal(hits["uri"], uri)).slice(0, given.k), how)


def _index(store: FeatureStore, layer: str, version: int) -> tuple[OpenIndex | None, str]:
    """Opens the index of a layer, if there is one that helps, and says how it is used."""
    stored = find_index(store.uri, layer)
    if stored is None:
        return None, ""
    if not is_faiss_installed():
        return None, "All images were compared: the index is read by faiss (pip install faiss-cpu)."
    files = store.scan(table_version=version).files
    known = {file.path for file in stored.covered([file.path for file in files])}
    others = sum(file.rows for file in files if file.path not in known)
    compared = with_count(others, "row of further files was", "rows of further files were")
    further = f"; {compared} compared, until pipelines.index adds them" if others else ""
    if not known:
        return None, "All images were compared: the files of the index are no longer those of the table."
    return store.index(layer), (
        f"By the index of version {stored.table_version}, which finds {stored.recall:.1%} of the nearest{further}. "
        "--exact compares all images."
    )


def _features_of_row(store: FeatureStore, layer: str, version: int, uri: str) -> np.ndarray:
    scan = store.scan_images([layer], [("uri", "=", uri)], table_version=version)
    rows = scan.numbers()[:1]
    if not len(rows):
        raise UsageError(f"The table has no image {shown(uri)}; --image takes a picture that is not in it.")
    features = scan.all_rows().take(rows).column(0).combine_chunks()
    return feature_array(features, store.spec.shape_by_layer[layer])


def _features_of_picture(given: argparse.Namespace, store: FeatureStore, layer: str) -> np.ndarray:
    """Runs a picture through the conv base of a store: float32 [1, *shape]."""
    from transforms.conv_bases import BATCH_SIZES, EngineName, load_engine
    from transforms.decoding import DecodingRules, decode_image

    rules = DecodingRules.of_spec(store.spec, decoding_limits(given))
    try:
        picture = decode_image(_picture_bytes(given), rules)
    except ImageError as error:
        raise InvalidInput(f"{shown(given.image)} is no picture that could be searched for: {error.message}") from error
    batch = np.zeros((BATCH_SIZES[EngineName.OPENVINO], *picture.pixels.shape), np.uint8)
    batch[0] = picture.pixels
    engine = load_engine(EngineName.OPENVINO, store.conv_base(), len(batch), store.spec.precision)
    features = engine.submit(batch).result()[store.spec.layers.index(layer)]
    return features[:1].reshape(1, *store.spec.shape_by_layer[layer])


def _picture_bytes(given: argparse.Namespace) -> bytes:
    from transforms.images import fetch_image

    if given.image == _STDIN:
        data: bytes = sys.stdin.buffer.read(given.max_bytes + 1)
        if len(data) > given.max_bytes:
            raise InvalidInput(f"What stands on standard input has more bytes than --max_bytes={given.max_bytes}.")
        return data
    uri = canonical_uri(given.image)
    if Path(uri.removeprefix("file://")).is_dir():
        raise InvalidInput(f"{shown(given.image)} is a folder: --image takes one picture.")
    return fetch_image(ImageRef(uri, "", None), given.max_bytes)


def check_hits_file(output: str | None) -> None:
    """Refuses a file of hits of a kind that is not written, or that cannot be written, before anything is searched.

    Raises:
        UsageError: If it is one.
    """
    if output is None:
        return
    if not output.endswith(_KINDS):
        raise UsageError(
            f"--output={shown(output)} is none of {', '.join(_KINDS)}, the files that hits are written to."
        )
    check_file(f"--output={output}", output)


def write_hits(output: str, asked: str, hits: pa.Table) -> None:
    """Writes hits as a page or a table, by the extension of the file.

    Lists are left out of a .csv, and texts that a spreadsheet would take for a formula have a quote before them.

    Raises:
        OSError: If it cannot be written.
    """
    uri = canonical_uri(output)
    if output.endswith(".html"):
        from transforms.gallery import hits_html

        query = asked if asked == _STDIN else canonical_uri(asked)
        write_file(uri, hits_html(query, hits, f"{with_count(hits.num_rows, 'image')} by cosine distance.").encode())
        return
    file = io.BytesIO()
    if output.endswith(".parquet"):
        pq.write_table(hits, file)
    else:
        import pyarrow.csv

        from transforms.prediction import spreadsheet_texts

        flat = [field for field in hits.schema if not pa.types.is_nested(field.type)]
        columns = {
            field.name: spreadsheet_texts(hits[field.name]) if pa.types.is_string(field.type) else hits[field.name]
            for field in flat
        }
        pyarrow.csv.write_csv(pa.table(columns), file)
    write_file(uri, file.getvalue())
