"""Where image refs are put aside while a pipeline runs, if all of its workers are on this machine."""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pipelines.runners.selection import DIRECT_RUNNER, runner_name
from transforms.runtime import temporary_folder

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions


@contextlib.contextmanager
def spill_folder(options: "PipelineOptions") -> Iterator[str | None]:
    """Makes a folder in the machine's folder for temporary files (`TMPDIR`), and removes it in the end.

    Yields:
        The folder, or None where a distributed engine has shuffles of its own.
    """
    if runner_name(options) != DIRECT_RUNNER:
        yield None
        return
    with temporary_folder() as folder:
        yield str(folder)
