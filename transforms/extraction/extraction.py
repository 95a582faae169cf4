"""`Extraction`: what is to be done with every shard of a run that extracts features."""

import dataclasses
import datetime
import enum

import pyarrow as pa

from schemas.tables import file_schema
from transforms.conv_bases import EngineName
from transforms.extraction.tasks import ShardTask


class Reuse(enum.StrEnum):
    """Whose features are taken for an image with the same bytes, instead of computing them again."""

    STORE = "store"
    RUN = "run"
    NONE = "none"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Extraction(ShardTask):
    """Everything that a worker needs to know besides the shard; see also `ShardTask`.

    Attributes:
        schema: The schema of `features`, further columns included.
        engine: What runs the conv base.
        reuse: Whether features of identical content are taken from the store, from what this run has computed in the
            same process, or not at all.
        update_labels: Whether images that others commit meanwhile get the annotations of this run.
        deadline: The moment after which no shard begins, if there is one.
        attempt: Distinguishes this execution from others of the same name; see `Run`.
    """

    schema: pa.Schema
    engine: EngineName
    reuse: Reuse = Reuse.STORE
    update_labels: bool = True
    deadline: datetime.datetime | None = None
    attempt: str = ""

    @property
    def file_schema(self) -> pa.Schema:
        """The schema of a file of `features`."""
        return file_schema(self.schema)
