"""What a worker is given besides a shard, and what it gives back: the same whatever it computes."""

import dataclasses
import datetime
import uuid
from collections.abc import Iterable

from schemas.fragments import Fragment, TableName
from schemas.measures import Measures
from schemas.spec import FeatureSpec
from schemas.storage import ANYWHERE, Reach, Storage, join, use_storage
from transforms.decoding import DecodingLimits, DecodingRules
from transforms.images import LoadingPools, LoadingRules
from transforms.runtime import available_cores


@dataclasses.dataclass(frozen=True, kw_only=True)
class ShardTask:
    """How the images of a run's shards are read, and where its fragments go.

    Attributes:
        output_uri: The folder of the tables.
        spec: The spec of the features.
        run_id: The run.
        ds: The partition date of the rows.
        batch_size: Images a call of the network. The last batch of a shard is padded to it, so that a result does not
            depend on which images shared its batch.
        limits: Which image files are taken, and what decoding one may cost.
        max_bytes: The most bytes of a file that are read.
        storage: What reads images in buckets.
        reach: Which servers may be asked, and how long fetching one image may take.
        threads: Threads that run the network; every core of the worker where it is None.
        streams: Batches that run at once; as many as threads where it is None.
        decode_processes: Processes that decode, or 0 for threads; as many as `threads` where it is None.
    """

    output_uri: str
    spec: FeatureSpec
    run_id: str
    ds: datetime.date
    batch_size: int
    limits: DecodingLimits
    max_bytes: int
    storage: Storage = Storage.OBSTORE
    reach: Reach = ANYWHERE
    threads: int | None = None
    streams: int | None = None
    decode_processes: int | None = None

    @property
    def loading_rules(self) -> LoadingRules:
        """How images are loaded."""
        decoding = DecodingRules.of_spec(self.spec, self.limits)
        return LoadingRules(decoding, self.max_bytes, self.batch_size, self.reach)

    def start_loading(self) -> LoadingPools:
        """Starts what loads the images of a worker process, and does not wait for it."""
        use_storage(self.storage)
        threads = self.threads or available_cores()
        return LoadingPools.start(threads, threads if self.decode_processes is None else self.decode_processes)

    def table_uri(self, table: TableName) -> str:
        """The folder of a table."""
        return join(self.output_uri, table)

    def new_path(self) -> str:
        """A path under a table's folder that no other writer uses, not even another attempt at the same shard."""
        return f"ds={self.ds.isoformat()}/{self.run_id}-{uuid.uuid4()}.parquet"


@dataclasses.dataclass(frozen=True)
class ShardResult:
    """The result of a shard.

    Attributes:
        fragments: What was written, complete on storage.
        measures: What it cost.
        remaining: Images that were left because the deadline was over.
    """

    fragments: tuple[Fragment, ...] = ()
    measures: Measures = dataclasses.field(default_factory=Measures)
    remaining: int = 0

    @classmethod
    def of_all(cls, results: Iterable["ShardResult"]) -> "ShardResult":
        """Adds up the results of shards."""
        done = list(results)
        return cls(
            tuple(fragment for result in done for fragment in result.fragments),
            sum((result.measures for result in done), Measures()),
            sum(result.remaining for result in done),
        )
