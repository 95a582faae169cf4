"""Where pipelines are built: on the runner that the options name, and in IPython as anywhere else.

Beam has features for notebooks: where it finds itself in IPython, it looks for pipelines among the notebook's variables
before each step, puts the number of the cell before the step's name, and leaves temporary folders behind. It imports
its own data frames for that, which pandas 3.1 breaks, and has no option against it.
"""

import contextvars
import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from pipelines.runners.beam_import import import_beam
from pipelines.runners.selection import find_runner

if TYPE_CHECKING:
    from apache_beam import Pipeline
    from apache_beam.options.pipeline_options import PipelineOptions

_IN_OWN_PIPELINE: Final = contextvars.ContextVar("in a pipeline of ours", default=False)


@contextmanager
def new_pipeline(options: "PipelineOptions") -> "Iterator[Pipeline]":
    """Gives a pipeline that is to be wired, and runs it at the end.

    Raises:
        RuntimeError: If a worker fails for good.
    """
    import_beam()
    import apache_beam as beam

    _hide_ipython_from_own_pipelines()
    before = _IN_OWN_PIPELINE.set(True)
    try:
        with beam.Pipeline(runner=find_runner(options), options=options) as root:
            yield root
    finally:
        _IN_OWN_PIPELINE.reset(before)


@functools.cache
def _hide_ipython_from_own_pipelines() -> None:
    """Lets Beam take IPython for any other program while it builds a pipeline of ours; other pipelines stay theirs."""
    from apache_beam import pipeline
    from apache_beam.utils import interactive_utils

    asked = interactive_utils.is_in_ipython

    def is_in_ipython() -> bool:
        return not _IN_OWN_PIPELINE.get() and asked()

    interactive_utils.is_in_ipython = pipeline.is_in_ipython = is_in_ipython
