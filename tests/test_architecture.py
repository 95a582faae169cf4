"""The layers hold: schemas <- transforms <- pipelines, and nobody imports for seconds what they may not need."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
LAYERS = ("schemas", "transforms", "pipelines")
SLOW = ("apache_beam", "tensorflow", "keras", "openvino", "sklearn")
BEAM_MODULES = {
    "transforms/arrow_coding.py",
    "transforms/beam_metrics.py",
    "transforms/listing_steps.py",
    "transforms/planning_steps.py",
    "transforms/prediction_steps.py",
    "transforms/shuffle_steps.py",
    "transforms/steps.py",
}
MODULES = sorted(
    path.relative_to(REPOSITORY).as_posix() for layer in LAYERS for path in Path(REPOSITORY, layer).glob("*.py")
)


def _imports(module: str, *, top_level_only: bool = False) -> Iterator[str]:
    tree = ast.parse(Path(REPOSITORY, module).read_text())
    guarded = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in tree.body if top_level_only else ast.walk(tree):
        if node in guarded:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0]


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_layers_below_its_own(module: str) -> None:
    own = LAYERS.index(module.partition("/")[0])
    above = set(LAYERS[own + 1 :])
    assert not above & set(_imports(module))


@pytest.mark.parametrize("module", [module for module in MODULES if module.startswith("schemas/")])
def test_schemas_import_neither_beam_nor_keras(module: str) -> None:
    assert not set(SLOW) & set(_imports(module))


@pytest.mark.parametrize("module", [module for module in MODULES if module not in BEAM_MODULES])
def test_slow_packages_are_imported_only_when_called(module: str) -> None:
    assert not set(SLOW) & set(_imports(module, top_level_only=True))


@pytest.mark.parametrize("module", MODULES)
def test_no_module_catches_every_exception(module: str) -> None:
    tree = ast.parse(Path(REPOSITORY, module).read_text())
    caught = [ast.unparse(node.type) for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler) and node.type]
    # One place has to: Keras raises a bare Exception for a failed download, and everything else is raised again there.
    allowed = ["Exception"] if module == "transforms/conv_bases.py" else []
    assert [name for name in caught if name in {"Exception", "BaseException"}] == allowed


def test_the_commands_start_without_the_slow_packages() -> None:
    commands = ", ".join(
        f"pipelines.{name}" for name in ("backfill", "extract", "finetune", "inspect", "maintain", "predict", "train")
    )
    code = f"import sys, {commands}; print([name for name in {SLOW} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
