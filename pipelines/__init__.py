"""One module a command, and the packages of what commands share.

    from pipelines import extract, open_store

    extract("photos/", output="store", labels_from="parent")
    open_store("store").scan().to_pandas()

The module of a command is a function, too: its options are the keyword arguments.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.functions import open_store
else:
    from schemas.lazy_imports import lazy_attributes

    __getattr__ = lazy_attributes(__name__, {"pipelines.functions": ["open_store"]})

__all__ = ["explore", "extract", "finetune", "measure", "open_store", "predict", "search", "train"]
