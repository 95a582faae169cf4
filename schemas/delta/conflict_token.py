"""Commits that carry the conflict token, so that none builds on a snapshot that another has overtaken.

`deltalake` puts an append behind whatever was committed since its snapshot, and does not see that two commits remove
the same file if the first of them says that no data changed, as a compaction does (deltalake 1.6.6): the second would
bring back what the first merged away, or lose what the second removed. Two commits from one snapshot that carry an
application transaction of the same name are always a conflict. So every commit that removes files carries this one.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from deltalake import DeltaTable

from schemas.delta.transactions import UPKEEP, TableAction, commit_once, commit_properties, committed, write_actions


def commit_with_token(
    table_uri: str,
    operation: str,
    actions_on: Callable[[DeltaTable], Sequence[TableAction] | None],
    *,
    about: Mapping[str, str] = MappingProxyType({}),
    mark: str | None = None,
) -> bool:
    """Commits file actions of an upkeep command to a table, with retries until no other commit intervenes.

    Args:
        table_uri: The table's folder.
        operation: What is done; stands in the log under `upkeep`.
        actions_on: Returns the actions for a snapshot. An empty list is committed too, which makes every commit that
            was prepared before look again; None is not.
        about: What else stands beside the commit in the log.
        mark: A further application transaction, whose number is the version that the commit makes.

    Returns:
        Whether anything was committed.

    Raises:
        RunFailed: If others were faster too often, or the storage stays at fault.
    """
    commit_id = f"{operation}/{uuid.uuid4()}"

    def write(table: DeltaTable) -> bool:
        actions = actions_on(table)
        if actions is None:
            return False
        marks = {} if mark is None else {mark: table.version() + 1}
        properties = commit_properties(commit_id, {**about, UPKEEP: operation}, table.version(), marks)
        write_actions(table, actions, properties)
        return True

    return committed(commit_once(table_uri, commit_id, write), commit_id)
