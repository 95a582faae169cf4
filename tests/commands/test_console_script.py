"""The console script, from a wheel: every file is in it, and it runs in any folder, whatever lies there."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from pipelines.__main__ import COMMANDS, what_it_does
from tests.conftest import REPOSITORY, SMALL_BASE, write_pictures

PACKAGES = ("pipelines", "schemas", "transforms")
IN_WORKERS = ("--direct_running_mode=multi_processing", "--direct_num_workers=1")

# What Windows lacks.
WITHOUT_UNIX = "for name in ('fcntl', 'grp', 'pwd', 'resource', 'termios'): sys.modules[name] = None\n"
EVERY_HELP = """
import contextlib, io
from pipelines.__main__ import COMMANDS, dispatch
for name in COMMANDS:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        dispatch([name, "--help"])
    print(name, len(printed.getvalue().splitlines()) > 5)
"""


class Installed(NamedTuple):
    """Where the wheel was installed.

    Attributes:
        script: The console script.
        site: The folder of the packages.
    """

    script: Path
    site: Path

    def run(self, program: Sequence[object], folder: Path) -> "subprocess.CompletedProcess[str]":
        environment = {**os.environ, "PYTHONPATH": str(self.site)}
        words = list(map(str, program))
        return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    pytest.importorskip("setuptools", minversion="80", reason="the environment is not that of requirements-dev.lock")
    folder = tmp_path_factory.mktemp("wheel")
    for name in PACKAGES:
        shutil.copytree(REPOSITORY / name, folder / "project" / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, folder / "project" / name)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    wheel = [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", folder, folder / "project"]
    subprocess.run(wheel, check=True)
    install = [*pip, "install", "--no-deps", "--no-index", "--ignore-installed", "--no-compile", "--prefix", folder]
    subprocess.run([*install, *folder.glob("*.whl")], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    return Installed(folder / "bin" / "convbase", site)


def test_every_file_of_the_packages_is_in_the_wheel(installed: Installed) -> None:
    def files(root: Path) -> list[str]:
        found = (path for name in PACKAGES for path in (root / name).rglob("*") if "__pycache__" not in path.parts)
        return sorted(path.relative_to(root).as_posix() for path in found if path.is_file())

    assert files(installed.site) == files(REPOSITORY)
    assert any(name.endswith(".js") for name in files(installed.site))


def test_alone_it_lists_the_commands(installed: Installed, tmp_path: Path) -> None:
    done = installed.run([installed.script], tmp_path)
    assert done.returncode == 0
    assert [line for line in done.stdout.splitlines() if line.startswith("  ")] == [
        f"  {name:<10} {what_it_does(name)}" for name in COMMANDS
    ]
    assert installed.run([sys.executable, "-m", "pipelines"], tmp_path).stdout == done.stdout
    assert installed.run([installed.script, "--version"], tmp_path).stdout == "convbase 0.1.0\n"


def test_a_command_that_there_is_not_is_one_sentence(installed: Installed, tmp_path: Path) -> None:
    done = installed.run([installed.script, "backfil"], tmp_path)
    assert (done.returncode, done.stderr) == (2, "error: There is no command backfil; did you mean 'backfill'?\n")
    done = installed.run([installed.script, "train", "--feature=store"], tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith("; see convbase train --help.\n")


@pytest.mark.parametrize("before", ["", WITHOUT_UNIX], ids=["here", "without the modules of Unix"])
def test_every_command_helps_from_any_folder(before: str, installed: Installed, tmp_path: Path) -> None:
    done = installed.run([sys.executable, "-c", f"import sys\n{before}{EVERY_HELP}"], tmp_path)
    assert done.stdout.split() == [word for name in COMMANDS for word in (name, "True")], done.stderr


def test_it_extracts_beside_packages_of_the_same_names(installed: Installed, tmp_path: Path) -> None:
    for name in PACKAGES:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('the wrong package')")
    write_pictures(tmp_path / "photos", 3)
    photos = sorted(path.relative_to(tmp_path) for path in (tmp_path / "photos").iterdir())
    base = [option.replace("_", "-") for option in SMALL_BASE]
    done = installed.run([installed.script, "extract", *photos, "--output=store", *base, *IN_WORKERS], tmp_path)
    assert done.returncode == 0, done.stderr
    assert [line.split() for line in done.stdout.splitlines()][3] == ["extracted", "3"]
    done = installed.run([sys.executable, "-m", "pipelines.extract", "--help"], tmp_path)
    assert "the wrong package" in done.stderr, "The guide says so."
    done = installed.run([sys.executable, "-P", "-m", "pipelines.extract", "--help"], tmp_path)
    assert done.returncode == 0, "The guide says so."
