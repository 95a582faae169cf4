"""`Snapshot`: the versions of a store's tables that a run plans against."""

import dataclasses
import enum
from collections.abc import Mapping

from deltalake import DeltaTable

from schemas.delta import open_table
from schemas.fragments import TableName
from schemas.maintenance import open_takedowns
from schemas.storage import join
from schemas.store import FeatureStore


class RetryFailures(enum.StrEnum):
    """Which known failures are tried again."""

    TRANSIENT = "transient"
    ALL = "all"
    NONE = "none"


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """The state of a store on which a run plans.

    Attributes:
        store: The store.
        versions: The versions of its tables; that of `takedowns` only if anything was ever taken down.
        rows: The rows of `features`, by which planning is divided.
    """

    store: FeatureStore
    versions: Mapping[TableName, int]
    rows: int

    @classmethod
    def newest(cls, store: FeatureStore) -> "Snapshot":
        """Returns the newest state of a store."""
        features, takedowns = store.features(), open_takedowns(store.uri)
        tables = {TableName.FEATURES: features, TableName.FAILURES: store.failures(), TableName.TAKEDOWNS: takedowns}
        versions = {name: table.version() for name, table in tables.items() if table is not None}
        return cls(store, versions, features.count())

    def table(self, name: TableName) -> DeltaTable:
        """Opens a table as it was."""
        return open_table(join(self.store.uri, name), self.versions[name])
