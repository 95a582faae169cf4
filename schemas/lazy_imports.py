"""Attributes of a package that are imported when they are first asked for (PEP 562)."""

import importlib
from collections.abc import Callable, Mapping, Sequence


def lazy_attributes(package: str, modules: Mapping[str, Sequence[str]]) -> Callable[[str], object]:
    """Returns the `__getattr__` of a package.

    Args:
        package: The package's name.
        modules: The names that each of its modules defines.
    """
    module_of = {name: module for module, names in modules.items() for name in names}

    def attribute(name: str) -> object:
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(module_of[name]), name)

    return attribute
