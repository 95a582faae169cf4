"""Rows that left `features` to be computed again, by a restoration or a repair: which runs' rows are among them.

Such a commit carries an application transaction whose number is its version. It is part of every later snapshot, also
when the log has expired.
"""

import functools
from collections.abc import Mapping
from typing import Any, Final

from deltalake.exceptions import DeltaError

from schemas.delta import commit_info, open_table
from schemas.store.runs import RunState

# The application transaction, and what stands beside a restoration in the log: the version that it restored.
TAKEN_OUT: Final = "convbase/taken-out"
RESTORED_VERSION: Final = "restored_version"


def has_committed(row: Mapping[str, Any]) -> bool:
    """Whether a row of `runs` is of a run whose features were committed."""
    complete: bool = row["state"] == RunState.COMPLETE
    return complete or (row["state"] == RunState.RECOVERED and row["table_version"] is not None)


class TakenOut:
    """What restorations and repairs have taken out of a table, to be computed again."""

    def __init__(self, features_uri: str) -> None:
        """Names the table; it is opened when it is needed."""
        self._uri = features_uri
        self._last = functools.cache(self._last_before)

    def since(self, row: Mapping[str, Any]) -> bool:
        """Whether rows may have left since a run planned: those that it committed, or those that it found there.

        A run of which a restored version held everything has lost nothing by that restoration. Where the log of a
        restoration has expired, it may have.

        Args:
            row: The row of the run in `runs`; of its columns `planned_version` may be missing or null.
        """
        planned_on = -1 if row.get("planned_version") is None else row["planned_version"]
        version: int | None = None
        while True:
            try:
                last = self._last(version)
            except DeltaError:  # The log of that version has expired.
                return True
            if last is None or planned_on >= last:
                return False
            info = commit_info(self._uri, last) or {}
            version = int(info.get(RESTORED_VERSION, -1))
            if row["table_version"] is None or row["table_version"] > version:
                return True

    def _last_before(self, version: int | None) -> int | None:
        """Returns the last version up to one that took rows out; up to the newest where that is None."""
        return open_table(self._uri, version).transaction_version(TAKEN_OUT)
