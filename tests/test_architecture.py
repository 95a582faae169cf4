"""Layers, packages in a drawn order, the doors between them; and nothing slow is imported before it is needed."""

import ast
import collections
import functools
import graphlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from pipelines.__main__ import COMMANDS as COMMAND_NAMES

REPOSITORY = Path(__file__).parents[1]
LAYERS = ("schemas", "transforms", "pipelines")

# A package imports only what stands before it.
ORDER = (
    "schemas/uris",
    "schemas",
    "schemas/clouds",
    "schemas/buckets",
    "schemas/storage",
    "schemas/caches",
    "schemas/classifiers",
    "schemas/threads",
    "schemas/fragments",
    "schemas/loaders",
    "schemas/delta",
    "schemas/search",
    "schemas/commits",
    "schemas/store",
    "schemas/maintenance",
    "transforms/runtime",
    "transforms/shuffle",
    "transforms/manifests",
    "transforms/folders",
    "transforms/archives",
    "transforms/source_kinds",
    "transforms/sources",
    "transforms/planning",
    "transforms/preprocessing",
    "transforms/decoding",
    "transforms/images",
    "transforms/networks",
    "transforms/origins",
    "transforms/conv_bases",
    "transforms/machine",
    "transforms/extraction",
    "transforms/linear",
    "transforms/training",
    "transforms/evaluation",
    "transforms/export",
    "transforms/finetuning",
    "transforms/prediction",
    "transforms/exploration",
    "transforms/gallery",
    "pipelines/monitoring",
    "pipelines/options",
    "pipelines/runners",
    "pipelines/jobs",
    "pipelines/dates",
    "pipelines/prediction",
    "pipelines/console",
    "pipelines/upkeep",
    "pipelines/functions",
    "pipelines",
)
MOST_MODULES = 11
# `pipelines` holds a module for each command, and nothing else.
COMMANDS = "pipelines"
COMMAND_MODULES = {"__main__", *COMMAND_NAMES}

# Imported past the `__init__` of their package, which would otherwise import Beam; and by whom.
PAST_INIT = {
    "beam": ("pipelines/*.py", "pipelines/*/*.py", "transforms/*/beam.py"),
    "beam_metrics": ("transforms/*/beam.py",),
    "coder": ("transforms/*/beam.py",),
    "torch_batches": ("schemas/delta/scan.py",),
}

# Packages that take long to import, and the modules that may do so when they are imported themselves.
SLOW = {
    "apache_beam": ("transforms/*/beam.py", "transforms/shuffle/coder.py", "transforms/runtime/beam_metrics.py"),
    "jax": (),
    "keras": (),
    "keras_hub": (),
    "openvino": (),
    "sklearn": (),
    "tensorflow": (),
    "torch": ("schemas/loaders/torch_batches.py",),
}
# What hands rows to frameworks imports them, when it is asked to.
LOADERS = "schemas/loaders/*.py"
STARTED_WITHOUT = ("apache_beam", "faiss", "jinja2", "keras", "openvino", "scipy", "sklearn", "tensorflow", "torch")

# Keras raises a bare Exception for a failed download, and everything else is raised again there; a file system raises
# what its package raises, and what says nothing of an image is raised again; what is raised in a decoder process is
# raised again in the process that it serves; what a decoder raises is the fault of its file, and so is what Keras
# raises that opens a model; logging itself prints what a handler raises.
CATCHES_EVERYTHING = {
    "schemas/storage/faults.py": ["Exception"],
    "transforms/origins/applications.py": ["Exception"],
    "transforms/decoding/opening.py": ["Exception"],
    "transforms/decoding/orientation.py": ["Exception"],
    "transforms/images/decoder_server.py": ["Exception"],
    "transforms/networks/keras_files.py": ["Exception", "Exception", "Exception"],
    "pipelines/monitoring/log_records.py": ["Exception"],
}

# Names that stand for the same thing in each module.
SAME_NAMES = {"main", "parser", "run"}


class Import(NamedTuple):
    """One imported name: the module it is imported from, and whether that happens when the importing module is."""

    module: str
    name: str
    at_once: bool


def modules() -> list[str]:
    """Every module of the product, `__init__`s too, as a path in the repository."""
    return sorted(
        path.relative_to(REPOSITORY).as_posix() for layer in LAYERS for path in Path(REPOSITORY, layer).rglob("*.py")
    )


MODULES = modules()
OWN = [module for module in MODULES if not module.endswith("__init__.py")]
PACKAGES = sorted({Path(module).parent.as_posix() for module in OWN})


def tree_of(module: str) -> ast.Module:
    return ast.parse(Path(REPOSITORY, module).read_text())


@functools.cache
def imports(module: str) -> tuple[Import, ...]:
    """What a module imports, now or later; what only type checkers see left out."""
    return tuple(_imports(tree_of(module), at_once=True))


def _imports(node: ast.AST, *, at_once: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and getattr(child.test, "id", "") == "TYPE_CHECKING":
            for other in child.orelse:
                yield from _imports(other, at_once=at_once)
        elif isinstance(child, ast.Import):
            yield from (Import(alias.name, "", at_once) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            yield from (Import(child.module or "", alias.name, at_once) for alias in child.names)
        else:
            yield from _imports(child, at_once=at_once and not isinstance(child, ast.FunctionDef))


def place(imported: Import) -> str | None:
    """The file that an import within the product reaches: that of a module, or the `__init__` of a package."""
    path = imported.module.replace(".", "/")
    for candidate in (f"{path}/{imported.name}.py", f"{path}.py", f"{path}/__init__.py"):
        if candidate in MODULES:
            return candidate
    return None


def matches(module: str, patterns: tuple[str, ...]) -> bool:
    return any(Path(module).match(pattern) for pattern in patterns)


@pytest.mark.skipif(not (REPOSITORY / ".git").exists(), reason="is no checkout of Git")
def test_the_top_level_holds_what_it_is_to_hold_and_nothing_that_a_test_left() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout
    names = {path.partition("/")[0] for path in tracked.split("\0") if path}
    assert {name for name in names if not name.startswith(".")} == {
        *LAYERS, "tests", "infra", "docs", "pyproject.toml", "zensical.toml", "Makefile", "LICENSE",
        "README.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md",
    }  # fmt: skip


def test_the_order_names_every_package() -> None:
    assert sorted(ORDER) == PACKAGES


def test_architecture_md_names_every_package_in_that_order() -> None:
    rows = re.findall(r"^\| `([a-z_/]+)` \|", (REPOSITORY / "ARCHITECTURE.md").read_text(), flags=re.M)
    assert sorted(row.rstrip("/") for row in rows) == PACKAGES


@pytest.mark.parametrize("module", OWN)
def test_a_module_imports_only_packages_before_its_own(module: str) -> None:
    own = ORDER.index(Path(module).parent.as_posix())
    reached = {Path(found).parent.as_posix() for found in map(place, imports(module)) if found}
    assert [package for package in reached if ORDER.index(package) > own] == []


def test_no_modules_import_each_other() -> None:
    graph = {module: {found for found in map(place, imports(module)) if found} - {module} for module in OWN}
    graphlib.TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("module", OWN)
def test_a_module_of_another_package_is_reached_through_its_door(module: str) -> None:
    for imported in imports(module):
        found = place(imported)
        if found is None or "/" not in Path(found).parent.as_posix() or Path(found).name == "__init__.py":
            continue  # The modules that stand in a layer itself are open to all.
        if Path(found).parent != Path(module).parent:
            assert matches(module, PAST_INIT.get(Path(found).stem, ())), f"{module} imports {found}"


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_says_what_it_is_for_and_holds_a_handful_of_modules(package: str) -> None:
    tree = tree_of(f"{package}/__init__.py")
    assert len((ast.get_docstring(tree) or "").split()) > 4
    own = [Path(module) for module in OWN if Path(module).parent.as_posix() == package]
    assert 0 < len(own) <= MOST_MODULES or (package == COMMANDS and {path.stem for path in own} == COMMAND_MODULES)


@pytest.mark.parametrize("package", [package for package in PACKAGES if "/" in package])
def test_a_door_defines_nothing(package: str) -> None:
    tree = tree_of(f"{package}/__init__.py")
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)]


def test_no_two_things_share_a_name() -> None:
    names = collections.defaultdict(list)
    for module in OWN:
        for node in tree_of(module).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                names[node.name].append(module)
    assert {name: where for name, where in names.items() if len(where) > 1 and name not in SAME_NAMES} == {}


@pytest.mark.parametrize("module", [module for module in OWN if module.startswith("schemas/")])
def test_schemas_import_neither_beam_nor_keras(module: str) -> None:
    slow = set(SLOW) & {imported.module.partition(".")[0] for imported in imports(module)}
    assert not slow or matches(module, (LOADERS,))
    assert not slow & {"apache_beam", "keras"}


@pytest.mark.parametrize("module", MODULES)
def test_slow_packages_are_imported_only_when_called(module: str) -> None:
    at_once = {imported.module.partition(".")[0] for imported in imports(module) if imported.at_once}
    assert [name for name, where in SLOW.items() if name in at_once and not matches(module, where)] == []


@pytest.mark.parametrize("module", MODULES)
def test_no_module_catches_every_exception(module: str) -> None:
    handlers = [node for node in ast.walk(tree_of(module)) if isinstance(node, ast.ExceptHandler) and node.type]
    caught = [
        name
        for name in (ast.unparse(node.type) for node in handlers if node.type)
        if name in {"Exception", "BaseException"}
    ]
    assert caught == CATCHES_EVERYTHING.get(module, [])


def _imported_by(code: str, names: tuple[str, ...]) -> str:
    """Which of some packages a fresh interpreter has imported after some code."""
    code = f"import sys, {code}; print(*[name for name in {names} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_commands_start_without_the_slow_packages() -> None:
    commands = [path.stem for path in Path(REPOSITORY, "pipelines").glob("*.py") if path.stem != "__init__"]
    assert "extract" in commands
    assert _imported_by(", ".join(f"pipelines.{name}" for name in commands), STARTED_WITHOUT) == ""


def test_a_decoder_process_needs_neither_arrow_nor_a_file_system() -> None:
    names = ("apache_beam", "deltalake", "fsspec", "openvino", "pandas", "pyarrow")
    assert _imported_by("transforms.images.decoder_server", names) == ""
