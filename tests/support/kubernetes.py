"""The manifests of infra/kubernetes: as they are, as `kubectl apply -k` sends them, as the API server judges them."""

import functools
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import REPOSITORY

KUBERNETES = REPOSITORY / "infra" / "kubernetes"
OVERLAYS = sorted(path.name for path in (KUBERNETES / "overlays").iterdir())
CRON_JOB = KUBERNETES / "base" / "nightly-backfill.yaml"
UPKEEP_JOB = KUBERNETES / "base" / "weekly-upkeep.yaml"
FRESHNESS_JOB = KUBERNETES / "base" / "freshness.yaml"

_RULES = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "convbase" / "bin" / "kube-rules"


def pod(job: Path) -> dict[str, Any]:
    """The specification of the pods of a CronJob."""
    spec: dict[str, Any] = yaml.safe_load(job.read_text())["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    return spec


def containers() -> list[dict[str, Any]]:
    """All that run in the pods of the base."""
    pods = [pod(CRON_JOB), pod(UPKEEP_JOB), pod(FRESHNESS_JOB)]
    return [one for spec in pods for one in (*spec.get("initContainers", ()), *spec["containers"])]


@functools.cache
def built(overlay: str) -> str:
    """What `kubectl apply -k` would send, as YAML."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    folder = KUBERNETES / "overlays" / overlay
    return subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True, check=True).stdout


def complaints(manifests: str) -> str:
    """What the API server would say against objects."""
    if not _RULES.exists():
        pytest.skip(f"needs {_RULES}, which `make kube-rules` builds with Go")
    judged = subprocess.run([_RULES], input=manifests, capture_output=True, text=True, check=False)
    return judged.stdout + judged.stderr
