"""Modules of commands that are functions, too.

`pipelines.extract` is a module: `python -m pipelines.extract` runs it. `from pipelines import extract` gives that same
module, whoever has imported what before, and it can be called.
"""

import inspect
import os
import sys
import types
from typing import TYPE_CHECKING

from pipelines.functions.arguments import arguments_of, signature_of
from pipelines.options import interruptible, storage_errors_in_a_sentence
from schemas.store import FeatureStore

if TYPE_CHECKING:
    from pipelines.functions.results import Result


class CommandModule(types.ModuleType):
    """The module of a command, with `parser` and `run`; called with its options as keyword arguments."""

    @property
    def __signature__(self) -> inspect.Signature:
        """The options with their types and defaults."""
        return signature_of(self.parser())

    def __call__(self, *positional: object, **options: object) -> "Result":
        """Runs the command.

        Args:
            positional: What its command line takes without an option.
            options: Its options, and Beam's where the command takes these.

        Returns:
            What it has done, which is shown as the command prints it, and in a notebook as a table.

        Raises:
            ConvbaseError: Where the command would end with this sentence.
        """
        with interruptible(), storage_errors_in_a_sentence():
            return self.run(arguments_of(self.parser(), positional, options))


def make_callable(module: str) -> None:
    """Makes the module of a command a function, too."""
    sys.modules[module].__class__ = CommandModule


def open_store(uri: str | os.PathLike[str]) -> FeatureStore:
    """Opens a feature store.

    Raises:
        StoreNotFound: If there is none.
    """
    with storage_errors_in_a_sentence():
        return FeatureStore.open(os.fspath(uri))
