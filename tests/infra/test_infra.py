"""The schedules parse, call commands that exist, and hold no logic."""

import ast
import configparser
import fcntl
import importlib
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.support.kubernetes import containers

INFRA = REPOSITORY / "infra"
DAGS = sorted((INFRA / "airflow").glob("*.py"))
UNITS = sorted((INFRA / "systemd").iterdir())
SERVICES = [path.name for path in UNITS if path.suffix == ".service" and "@" not in path.name]


def unit(name: str) -> configparser.ConfigParser:
    parsed = configparser.ConfigParser(interpolation=None, strict=False)  # Some options stand there several times.
    parsed.optionxform = str
    parsed.read(INFRA / "systemd" / name)
    return parsed


def cron_lines() -> list[str]:
    lines = (INFRA / "cron" / "crontab").read_text().splitlines()
    return [line for line in lines if re.match(r"[0-9*]", line)]


def keywords(dag: Path) -> dict[str, ast.expr]:
    """What a DAG's file gives by name; of names that are given twice the last."""
    calls = [node for node in ast.walk(ast.parse(dag.read_text())) if isinstance(node, ast.Call)]
    return {str(keyword.arg): keyword.value for call in calls for keyword in call.keywords}


def bash_commands() -> list[str]:
    given = [node for dag in DAGS for node in ast.walk(ast.parse(dag.read_text())) if isinstance(node, ast.keyword)]
    return [ast.literal_eval(keyword.value) for keyword in given if keyword.arg == "bash_command"]


def called() -> list[list[str]]:
    """Every `pipelines.…` that a schedule calls, with its arguments."""
    lines = [line for path in UNITS for line in path.read_text().splitlines() if line.startswith("ExecStart=")]
    units = [line.replace("%%", "%") for line in lines]
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


def test_every_schedule_backfills_and_asks_every_morning_whether_images_came() -> None:
    backfills = [arguments for module, *arguments in called() if module == "pipelines.backfill"]
    assert len(backfills) == 4
    assert all(any(argument.startswith("--expect_images") for argument in arguments) for arguments in backfills)
    looks = [arguments for module, *arguments in called() if module == "pipelines.inspect"]
    asked = [" ".join(arguments).replace("=", " ").removesuffix(" --log_format json") for arguments in looks]
    assert asked == ["gs://bucket/store --freshness 26h"] * 4


def test_the_service_alerts_but_not_when_its_time_is_over() -> None:
    service = unit("convbase-backfill.service")
    assert service["Service"]["SuccessExitStatus"] == "3"
    assert service["Unit"]["OnFailure"] == "convbase-alert@%n.service"
    assert unit("convbase-backfill.timer")["Timer"]["Persistent"] == "true"


@pytest.mark.parametrize("name", SERVICES)
def test_a_unit_that_fails_tells_somebody(name: str) -> None:
    assert unit(name)["Unit"]["OnFailure"] == "convbase-alert@%n.service"


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
@pytest.mark.parametrize("name", SERVICES)
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
    for code, alerts in ((0, False), (1, True), (2, True), (3, False), (4, True)):
        alert = tmp_path / f"alert-{code}"
        stood_in = re.sub(r"\.venv/bin/python.*?(?= \|\|)", f"sh -c 'exit {code}'", command)
        subprocess.run(["sh", "-c", re.sub(r"logger .*", f"touch {alert}", stood_in)], check=True)
        assert alert.exists() == alerts


def test_cron_starts_no_second_backfill(tmp_path: Path) -> None:
    command = cron_lines()[0].split(maxsplit=5)[5].replace("cd /opt/convbase && ", "").replace("$HOME", str(tmp_path))
    command = re.sub(r"\.venv/bin/python.*?(?= \|\|)", f"touch {tmp_path}/second", command)
    with (tmp_path / "convbase-backfill.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run(["sh", "-c", re.sub(r"logger .*", "true", command)], check=True)
    assert not (tmp_path / "second").exists()
    subprocess.run(["sh", "-c", command], check=True)
    assert (tmp_path / "second").exists()


def test_what_cron_locks_nobody_else_can_hold() -> None:
    assert re.findall(r"flock [^\"]*(\S+)", cron_lines()[0]) == ['"$HOME/convbase-backfill.lock"']


@pytest.mark.parametrize("dag", DAGS, ids=lambda path: path.stem)
def test_a_dag_holds_no_logic(dag: Path) -> None:
    forbidden = (ast.FunctionDef, ast.Lambda, ast.If, ast.For, ast.While, ast.Try)
    assert not [node for node in ast.walk(ast.parse(dag.read_text())) if isinstance(node, forbidden)]
    assert {"dag_id", "catchup", "max_active_runs"} <= keywords(dag).keys()


@pytest.mark.parametrize("dag", DAGS, ids=lambda path: path.stem)
def test_a_dag_ends_and_tells_somebody_when_it_fails(dag: Path) -> None:
    assert {"dagrun_timeout", "execution_timeout", "on_failure_callback"} <= keywords(dag).keys()


def test_a_night_that_is_late_in_airflow_tells_somebody() -> None:
    assert "deadline" in keywords(INFRA / "airflow" / "nightly_backfill.py")
