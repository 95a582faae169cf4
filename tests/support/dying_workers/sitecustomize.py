"""Kills one of the processes that find this on their path, as by `kill -9`, right after its second shard.

The file that `DIES_ONCE` names is made just before, and whoever finds it lives.
"""

import os
import signal
from pathlib import Path

from transforms.extraction import shard

_leave_receipt = shard.leave_receipt
_left = 0


def _leave_receipt_and_die(*arguments: object) -> None:
    global _left  # noqa: PLW0603
    _leave_receipt(*arguments)
    _left += 1
    died = Path(os.environ["DIES_ONCE"])
    if _left == 2 and not died.exists():
        died.touch()
        os.kill(os.getpid(), signal.SIGKILL)


shard.leave_receipt = _leave_receipt_and_die
