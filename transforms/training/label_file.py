"""Label files: the labels of images, by URI, from a CSV or Parquet file."""

import dataclasses
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.errors import InvalidInput, InvalidLabels, first_line, shown
from schemas.storage import canonical_uri
from transforms.manifests import URI, ManifestFormat, NamedFormat, canonical_uris, look_at_manifest, named_format

LABEL: Final = "label"


@dataclasses.dataclass(frozen=True)
class LabelFile:
    """Labels by image, read from a file.

    Attributes:
        uri: The file.
        uris: string [n], canonical, each once.
        labels: string or list<string> [n].
    """

    uri: str
    uris: pa.Array
    labels: pa.Array

    def labels_of(self, uris: pa.Array) -> pa.Array:
        """Returns the labels of images, null for those that the file does not name."""
        return self.labels.take(pc.index_in(uris, value_set=self.uris))


def read_label_file(uri: str, column: str = LABEL) -> LabelFile:
    """Reads labels by image.

    Args:
        uri: A manifest in any format with the columns `uri` and `column`; a relative URI is one beside the file. The
            column holds strings (anything that casts to them), or list<string> in Parquet.
        column: The column of the labels.

    Raises:
        InvalidLabels: If it cannot be read, lacks a column, or gives an image two labels.
    """
    table = _read_table(uri, column)
    uris = canonical_uris(table["uri"].cast(pa.string()).combine_chunks(), canonical_uri(uri))
    labels = table[column].combine_chunks()
    rows = pa.table({"uri": uris, "row": pa.array(np.arange(len(uris)))})
    firsts = rows.group_by("uri").aggregate([("row", "min"), ("row", "count")])
    twice = firsts.filter(pc.greater(firsts["row_count"], 1))["uri"]
    if len(twice):
        raise InvalidLabels(f"The file of labels {uri} names {len(twice)} images twice, such as {twice[0]}.")
    kind = pa.list_(pa.string()) if pa.types.is_nested(labels.type) else pa.string()
    return LabelFile(uri, uris, labels.cast(kind))


def _read_table(uri: str, column: str) -> pa.Table:
    try:
        manifest = look_at_manifest(uri, named_format(uri) or NamedFormat(ManifestFormat.CSV))
        return manifest.read([URI, column])
    except (InvalidInput, ValueError, ImportError) as error:
        raise InvalidLabels(f"The file of labels {shown(uri)} cannot be read: {first_line(error)}") from error
