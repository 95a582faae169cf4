"""The schedules parse, call commands that exist, and hold no logic."""

import ast
import configparser
import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conftest import REPOSITORY

INFRA = REPOSITORY / "infra"
DAG = INFRA / "airflow" / "nightly_backfill.py"
KUBERNETES = INFRA / "kubernetes"
CRON_JOB = KUBERNETES / "base" / "nightly-backfill.yaml"
UPKEEP_JOB = KUBERNETES / "base" / "weekly-upkeep.yaml"
UNITS = sorted((INFRA / "systemd").iterdir())


def unit(name: str) -> configparser.ConfigParser:
    parsed = configparser.ConfigParser(interpolation=None)
    parsed.optionxform = str
    parsed.read(INFRA / "systemd" / name)
    return parsed


def cron_lines() -> list[str]:
    lines = (INFRA / "cron" / "crontab").read_text().splitlines()
    return [line for line in lines if re.match(r"[0-9*]", line)]


def bash_commands() -> list[str]:
    calls = [node for node in ast.walk(ast.parse(DAG.read_text())) if isinstance(node, ast.keyword)]
    return [ast.literal_eval(call.value) for call in calls if call.arg == "bash_command"]


def pod(job: Path) -> dict:
    return yaml.safe_load(job.read_text())["spec"]["jobTemplate"]["spec"]["template"]["spec"]


def containers() -> list[dict]:
    pods = [pod(CRON_JOB), pod(UPKEEP_JOB)]
    return [one for spec in pods for one in (*spec.get("initContainers", ()), *spec["containers"])]


def called() -> list[list[str]]:
    """Every `pipelines.…` that a schedule calls, with its arguments."""
    units = [line for path in UNITS for line in path.read_text().splitlines() if line.startswith("ExecStart=")]
    pods = [shlex.join([*one["command"], *one["args"]]) for one in containers()]
    texts = [*bash_commands(), *cron_lines(), *units, *pods]
    commands = [command for text in texts for command in re.split(r"&&|\|\|", text)]
    words = [shlex.split(command) for command in commands if "-m pipelines." in command]
    return [command[command.index("-m") + 1 :] for command in words]


@pytest.mark.parametrize("command", called(), ids=" ".join)
def test_a_schedule_calls_a_command_that_takes_its_options(command: list[str]) -> None:
    module, *arguments = command
    if not (REPOSITORY / f"{module.replace('.', '/')}.py").exists():
        pytest.skip(f"{module} is not here yet")
    importlib.import_module(module).parser().parse_args(arguments)


def test_every_schedule_backfills() -> None:
    assert [module for module, *_ in called()].count("pipelines.backfill") == 4


def test_the_cron_job_runs_one_at_a_time_and_ends() -> None:
    job = yaml.safe_load(CRON_JOB.read_text())
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "CronJob")
    assert job["spec"]["concurrencyPolicy"] == "Forbid"
    spec = job["spec"]["jobTemplate"]["spec"]
    (backfill,) = spec["template"]["spec"]["containers"]
    budget = next(value for value in backfill["args"] if value.startswith("--time_budget="))
    hours = int(re.fullmatch(r"--time_budget=(\d+)h", budget)[1])
    assert hours * 3600 * (spec["backoffLimit"] + 1) <= spec["activeDeadlineSeconds"]
    (rule,) = [rule for rule in spec["podFailurePolicy"]["rules"] if "onExitCodes" in rule]
    assert rule["onExitCodes"]["values"] == [2]
    assert rule["onExitCodes"]["containerName"] == backfill["name"]
    assert spec["template"]["spec"]["restartPolicy"] == "Never", "podFailurePolicy asks for it"


@pytest.mark.parametrize("job", [CRON_JOB, UPKEEP_JOB], ids=lambda path: path.stem)
def test_a_condition_of_a_cron_job_has_a_status(job: Path) -> None:
    rules = yaml.safe_load(job.read_text())["spec"]["jobTemplate"]["spec"]["podFailurePolicy"]["rules"]
    conditions = [condition for rule in rules for condition in rule.get("onPodConditions", ())]
    assert conditions
    assert all(condition["status"] == "True" for condition in conditions), "the API server refuses it without"


@pytest.mark.parametrize("job", [CRON_JOB, UPKEEP_JOB], ids=lambda path: path.stem)
def test_a_pod_has_no_rights_and_writes_only_to_its_scratch(job: Path) -> None:
    spec = pod(job)
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["automountServiceAccountToken"] is False
    volumes = {volume["name"] for volume in spec["volumes"]}
    for one in (*spec.get("initContainers", ()), *spec["containers"]):
        assert one["securityContext"] == {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        }  # fmt: skip
        assert {mount["name"] for mount in one["volumeMounts"]} <= volumes
        assert {"memory", "ephemeral-storage"} <= one["resources"]["limits"].keys()
        assert {"name": "TMPDIR", "value": "/scratch"} in one["env"]


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_the_overlay_names_image_accounts_and_bucket() -> None:
    built = subprocess.run(
        ["kubectl", "kustomize", KUBERNETES / "overlays" / "gke"], capture_output=True, text=True, check=True
    )
    documents = list(yaml.safe_load_all(built.stdout))
    assert sorted(document["kind"] for document in documents) == [
        "CronJob", "CronJob", "NetworkPolicy", "ServiceAccount", "ServiceAccount",
    ]  # fmt: skip
    assert {document["metadata"]["namespace"] for document in documents} == {"convbase"}
    assert "image: convbase" not in built.stdout
    assert "gs://bucket" not in built.stdout
    assert built.stdout.count("iam.gke.io/gcp-service-account") == 2


def test_the_service_alerts_but_not_when_its_time_is_over() -> None:
    service = unit("convbase-backfill.service")
    assert service["Service"]["SuccessExitStatus"] == "3"
    assert service["Unit"]["OnFailure"] == "convbase-alert@%n.service"
    assert unit("convbase-backfill.timer")["Timer"]["Persistent"] == "true"


def test_what_runs_code_for_whoever_reaches_it_is_not_reached_from_a_network() -> None:
    server = unit("convbase-job-server.service")["Service"]
    assert (server["IPAddressDeny"], server["IPAddressAllow"].split()[0]) == ("any", "localhost")
    command = shlex.split(unit("convbase-worker-pool.service")["Service"]["ExecStart"])
    module, *arguments = command[command.index("-m") + 1 :]
    given = importlib.import_module(module).parser().parse_args(arguments)
    assert (given.host, given.allow_network) == ("127.0.0.1", False)
    for page in [*INFRA.glob("*.md"), *REPOSITORY.glob("docs/**/*.md"), INFRA / "container" / "Dockerfile"]:
        assert "-m apache_beam.runners.worker" not in page.read_text(), page


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    for path in UNITS:
        text = path.read_text().replace("/opt/convbase/.venv/bin/python", sys.executable)
        (tmp_path / path.name).write_text(
            text.replace("/usr/bin/logger", "/bin/echo").replace("/usr/bin/java", "/bin/echo")
        )
    checked = [path for path in tmp_path.iterdir() if "@" not in path.name]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *checked], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("name", ["convbase-backfill.service", "convbase-upkeep.service"])
def test_a_unit_is_little_exposed(name: str) -> None:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=40", INFRA / "systemd" / name],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-200:]


def test_cron_takes_one_backfill_at_a_time_and_no_alert_for_3(tmp_path: Path) -> None:
    backfill = cron_lines()[0]
    assert "%" not in backfill, "cron takes it for a line break"
    command = backfill.split(maxsplit=5)[5].replace("cd /opt/convbase && ", "").replace("$HOME", str(tmp_path))
    for code, alerts in ((0, False), (1, True), (2, True), (3, False)):
        alert = tmp_path / f"alert-{code}"
        stood_in = re.sub(r"\.venv/bin/python.*?(?= \|\|)", f"sh -c 'exit {code}'", command)
        subprocess.run(["sh", "-c", re.sub(r"logger .*", f"touch {alert}", stood_in)], check=True)
        assert alert.exists() == alerts


def test_the_dag_holds_no_logic() -> None:
    tree = ast.parse(DAG.read_text())
    forbidden = (ast.FunctionDef, ast.Lambda, ast.If, ast.For, ast.While, ast.Try)
    assert not [node for node in ast.walk(tree) if isinstance(node, forbidden)]
    assert {"dag_id", "catchup", "max_active_runs"} <= {
        node.arg for node in ast.walk(tree) if isinstance(node, ast.keyword)
    }


@pytest.mark.slow
def test_airflow_takes_the_dag(tmp_path: Path) -> None:
    python = os.environ.get("AIRFLOW_PYTHON")
    if python is None:
        pytest.skip("needs Airflow in an environment of its own, named by AIRFLOW_PYTHON")
    shutil.copy(DAG, tmp_path)
    code = (
        "from airflow.models import DagBag; "
        f"bag = DagBag({str(tmp_path)!r}); "
        "assert not bag.import_errors, bag.import_errors; "
        "dag = bag.dags['convbase_nightly_backfill']; "
        "print(sorted(dag.task_ids), dag.max_active_runs, dag.catchup)"
    )
    done = subprocess.run(
        [python, "-c", code], env={**os.environ, "AIRFLOW_HOME": str(tmp_path / "home")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "['backfill', 'compact'] 1 False"
