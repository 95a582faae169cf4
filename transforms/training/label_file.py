"""Label files: the labels of images, by URI, from a CSV or Parquet file."""

import dataclasses
from collections.abc import Callable
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.errors import InputNotFound, InvalidInput, InvalidLabels, first_line, shown, with_count
from schemas.storage import bare_uri, canonical_uri
from transforms.manifests import (
    URI,
    ManifestFormat,
    NamedFormat,
    canonical_uris,
    is_list,
    look_at_manifest,
    named_format,
    without_encoding_option,
)
from transforms.sources import bare_labels

LABEL: Final = "label"


@dataclasses.dataclass(frozen=True)
class LabelFile:
    """Labels by image, read from a file.

    Attributes:
        uri: The file.
        uris: string [n], canonical, each once.
        labels: string or list<string> [n], without blanks around them.
    """

    uri: str
    uris: pa.Array
    labels: pa.Array

    def labels_of(self, uris: pa.Array) -> pa.Array:
        """Returns the labels of images, null for those that the file does not name."""
        return self.labels.take(self.rows_of(uris))

    def rows_of(self, uris: pa.Array) -> pa.Array:
        """Returns the rows of images, null for those that the file does not name."""
        return pc.index_in(uris, value_set=self.uris)


@dataclasses.dataclass(frozen=True)
class LabelMatches:
    """How a label file and a table fit together.

    Attributes:
        file_uri: The file.
        rows: Its rows.
        rows_without_image: Of these, rows that name no image of the table.
        images_without_row: Images of the table that it does not name.
        looked_for: The image of its first row without one, if there is one.
    """

    file_uri: str
    rows: int
    rows_without_image: int
    images_without_row: int
    looked_for: str | None


class MatchCounter:
    """Counts which rows of a label file and which images of a table fit together, a batch of images after the other."""

    def __init__(self, file: LabelFile) -> None:
        """Begins with none."""
        self._file = file
        self._found = np.zeros(len(file.uris), bool)
        self._images_without_row = 0
        self._image: str | None = None

    def add(self, uris: pa.Array) -> None:
        """Counts images in."""
        rows = self._file.rows_of(uris)
        self._found[rows.drop_null().to_numpy()] = True
        self._images_without_row += rows.null_count
        if self._image is None and len(uris):
            self._image = uris[0].as_py()

    def matches(self) -> LabelMatches:
        """Returns what was counted.

        Raises:
            InvalidLabels: If the file names none of the images.
        """
        lost = np.flatnonzero(~self._found)
        looked_for = self._file.uris[lost[0]].as_py() if len(lost) else None
        if len(lost) == len(self._found):
            raise InvalidLabels(
                f"None of the {len(self._found):,} rows of {self._file.uri} names an image of the table: "
                f"{looked_for or 'nothing'} was looked for, and the table holds {self._image or 'no image'}. "
                "A relative `uri` is one beside the file."
            )
        return LabelMatches(self._file.uri, len(self._found), len(lost), self._images_without_row, looked_for)


def read_label_file(uri: str, column: str = LABEL) -> LabelFile:
    """Reads labels by image.

    Args:
        uri: A manifest in any format with the columns `uri` and `column`; a relative URI is one beside the file. The
            column holds strings (anything that casts to them), or lists of them in Parquet and JSON Lines.
        column: The column of the labels.

    Raises:
        InvalidLabels: If it cannot be read, lacks a column, or gives an image two labels.
    """
    table = _read_table(uri, column)
    named = _texts(lambda uris: uris.cast(pa.string()), table[URI].combine_chunks(), URI, uri)
    uris = canonical_uris(named, canonical_uri(uri))
    labels = table[column].combine_chunks()
    rows = pa.table({"uri": uris, "row": pa.array(np.arange(len(uris)))})
    firsts = rows.group_by("uri").aggregate([("row", "min"), ("row", "count")])
    twice = firsts.filter(pc.greater(firsts["row_count"], 1))["uri"]
    if len(twice):
        images = with_count(len(twice), "image")
        raise InvalidLabels(f"The file of labels {uri} names {images} twice, such as {twice[0]}.")
    kind = labels.type.value_type if is_list(labels.type) else labels.type
    if pa.types.is_nested(kind):
        raise InvalidLabels(f"The file of labels {shown(uri)} has no labels in its column '{column}', but {kind}.")
    return LabelFile(bare_uri(uri), uris, _texts(bare_labels, labels, column, uri))


def _texts(texts_of: Callable[[pa.Array], pa.Array], values: pa.Array, column: str, uri: str) -> pa.Array:
    try:
        return texts_of(values)
    except pa.ArrowInvalid as error:
        raise InvalidLabels(
            f"The file of labels {shown(uri)} has bytes in its column '{column}' that are not UTF-8."
        ) from error


def _read_table(uri: str, column: str) -> pa.Table:
    try:
        manifest = look_at_manifest(uri, named_format(uri) or NamedFormat(ManifestFormat.CSV))
        return manifest.read([URI, column])
    except InputNotFound as error:
        raise InvalidLabels(f"There is no file of labels at {shown(uri)}.") from error
    except InvalidInput as error:  # A sentence that names the file.
        raise InvalidLabels(without_encoding_option(str(error))) from error
    except (ValueError, ImportError) as error:
        raise InvalidLabels(f"The file of labels {shown(uri)} cannot be read: {first_line(error)}") from error
