"""Near-duplicates as a file: which images show the same picture, and which of them is kept.

`pipelines.explore` writes it; trainings leave images out by it or keep groups in one split, and takedowns take it for a
list of the images that are not kept.
"""

import dataclasses
import hashlib
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.classifiers.splits import hash_places
from schemas.errors import InvalidInput, first_line, shown
from schemas.storage import canonical_uri, open_parquet

DUPLICATES: Final = pa.schema(
    [
        pa.field("uri", pa.string(), nullable=False),
        pa.field("group", pa.int64(), nullable=False),
        pa.field("distance", pa.float32(), nullable=False),
        pa.field("identical", pa.bool_(), nullable=False),
        pa.field("keep", pa.bool_(), nullable=False),
    ]
)


@dataclasses.dataclass(frozen=True, eq=False)
class Duplicates:
    """Groups of near-duplicates.

    Attributes:
        uris: string [n], the images.
        keep: bool [n], whether an image is the one that its group keeps.
        group_places: uint64 [n], a place for each group, as `hash_places` has them, by the bytes of no image.
    """

    uris: pa.Array
    keep: np.ndarray
    group_places: np.ndarray

    @classmethod
    def read(cls, file: str) -> "Duplicates":
        """Reads the file that `pipelines.explore` writes.

        Raises:
            InvalidInput: If there is none, or it is another kind of file.
        """
        try:
            with open_parquet(canonical_uri(file)) as (opened, threads):
                table = opened.read(["uri", "group", "keep"], use_threads=threads)
            columns = table.cast(pa.schema([DUPLICATES.field(name) for name in ("uri", "group", "keep")]))
        except (OSError, ValueError) as error:  # Arrow's errors of what is no Parquet, or lacks a column, among them.
            raise InvalidInput(
                f"{shown(file)} is no file of near-duplicates as pipelines.explore writes it: {first_line(error)}"
            ) from error
        groups = pc.cast(columns["group"], pa.string()).combine_chunks()
        digests = pa.array([hashlib.sha256(text.encode()).hexdigest() for text in groups.to_pylist()], pa.string())
        return cls(columns["uri"].combine_chunks(), columns["keep"].to_numpy(), hash_places(digests))

    def are_dropped(self, uris: pa.Array) -> np.ndarray:
        """Returns bool [m], whether images are in a group that keeps another one."""
        dropped = self.uris.filter(pa.array(~self.keep))
        found: np.ndarray = pc.is_in(uris, value_set=dropped).to_numpy(zero_copy_only=False)
        return found

    def places_of(self, uris: pa.Array, places: np.ndarray) -> np.ndarray:
        """Returns uint64 [m], the places of images, those of a group replaced by the one that they share."""
        found = pc.fill_null(pc.index_in(uris, value_set=self.uris), -1).to_numpy(zero_copy_only=False)
        return np.where(found >= 0, self.group_places[found], places) if len(self.uris) else places
