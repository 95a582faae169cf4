"""`Extraction`: what is to be done with every shard of a run."""

import dataclasses
import datetime
import enum
import uuid

import pyarrow as pa

from schemas.fragments import TableName
from schemas.spec import FeatureSpec
from schemas.storage import join
from transforms.decoding import DecodingRules
from transforms.engines import EngineName
from transforms.loading import LoadingRules


class Reuse(enum.StrEnum):
    """Whose features are taken for an image with the same bytes, instead of computing them again."""

    STORE = "store"
    RUN = "run"
    NONE = "none"


@dataclasses.dataclass(frozen=True)
class Extraction:
    """Everything that a worker needs to know besides the shard.

    Attributes:
        store_uri: The store.
        spec: The store's spec.
        schema: The schema of `features`, further columns included.
        run_id: The run.
        ds: The partition date of the rows.
        engine: What runs the conv base.
        batch_size: Images a call of the conv base. The last batch of a shard is padded to it, so that a feature does
            not depend on which images shared its batch.
        formats: The names of the Pillow formats that are taken.
        max_pixels: The most pixels that are decoded.
        max_bytes: The most bytes of a file that are read.
        reuse: Whether features of the same bytes are taken from the store, from what this run has computed in the same
            process, or not at all.
        threads: Threads that run the base, and as many that decode; every core of the worker where it is None.
        deadline: The moment after which no shard begins, if there is one.
    """

    store_uri: str
    spec: FeatureSpec
    schema: pa.Schema
    run_id: str
    ds: datetime.date
    engine: EngineName
    batch_size: int
    formats: tuple[str, ...]
    max_pixels: int
    max_bytes: int
    reuse: Reuse = Reuse.STORE
    threads: int | None = None
    deadline: datetime.datetime | None = None

    @property
    def loading_rules(self) -> LoadingRules:
        """How images are loaded."""
        decoding = DecodingRules.of_spec(self.spec, self.formats, self.max_pixels)
        return LoadingRules(decoding, self.max_bytes, self.batch_size)

    @property
    def file_schema(self) -> pa.Schema:
        """The schema of a file of `features`: without the partition column, which is in its path."""
        return self.schema.remove(self.schema.get_field_index("ds"))

    def table_uri(self, table: TableName) -> str:
        """The folder of a table."""
        return join(self.store_uri, table)

    def new_path(self) -> str:
        """A path under a table's folder that nobody else ever writes to, not even another attempt at the same shard."""
        return f"ds={self.ds.isoformat()}/{self.run_id}-{uuid.uuid4()}.parquet"
