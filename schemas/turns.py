"""Commits that take turns, so that none builds on a snapshot that another has overtaken.

`deltalake` puts an append behind whatever was committed since its snapshot, and does not see that two commits remove
the same file if the first of them says that no data changed, as a compaction does (deltalake 1.6.6): the second would
bring back what the first merged away, or lose what the second removed. Two commits from one snapshot that carry an
application transaction of the same name are always a conflict. So whoever removes files carries this one.
"""

import random
import time
from collections.abc import Callable, Sequence
from typing import Final

from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.exceptions import CommitFailedError

from schemas.delta import TURN, TableAction, open_table
from schemas.errors import RunFailed

UPKEEP: Final = "upkeep"

_ATTEMPTS: Final = 64
_FIRST_PAUSE_SECONDS: Final = 0.1
_LONGEST_PAUSE_SECONDS: Final = 5.0


def commit_in_turn(
    table_uri: str, operation: str, actions_on: Callable[[DeltaTable], Sequence[TableAction] | None]
) -> DeltaTable:
    """Commits file actions to a table, again and again until nobody has committed in between.

    Args:
        table_uri: The table's folder.
        operation: What is done; stands in the log under `upkeep`.
        actions_on: Returns the actions for a snapshot. An empty list is committed too, which makes every commit that
            was prepared before look again; None is not.

    Returns:
        The snapshot on which the last actions were made.

    Raises:
        RunFailed: If others were faster too often.
    """
    for attempt in range(_ATTEMPTS):
        table = open_table(table_uri)
        actions = actions_on(table)
        if actions is None:
            return table
        properties = CommitProperties(
            custom_metadata={UPKEEP: operation}, app_transactions=[Transaction(TURN, table.version() + 1)]
        )
        partitioned_by = table.metadata().partition_columns
        try:
            table.create_write_transaction(
                list(actions), "append", table.schema(), partitioned_by, commit_properties=properties
            )
        except CommitFailedError:
            longest = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2 ** min(attempt, 10))
            time.sleep(random.uniform(0, longest))  # noqa: S311 (no secret)
        else:
            return table
    raise RunFailed(f"{table_uri} was changed by others {_ATTEMPTS} times while this command tried to; try it again.")
