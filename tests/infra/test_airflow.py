"""Airflow itself runs the DAGs: its scheduler starts each of them, and who is on call is written to when one fails."""

import datetime
import os
import re
import shutil
import signal
import socket
import socketserver
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Final

import pytest

from schemas.store import FeatureStore
from tests.conftest import REPOSITORY, SMALL_BASE, extract, write_pictures
from tests.infra.test_infra import DAGS

AIRFLOW: Final = REPOSITORY / ".venv-airflow" / "bin"
SECONDS: Final = 500
YESTERDAY: Final = datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=1)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (AIRFLOW / "airflow").exists(), reason="needs Airflow (make airflow)"),
]


class MailServer(socketserver.ThreadingTCPServer):
    """An SMTP server on loopback that keeps what it is sent."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Conversation)
        self.mails: list[str] = []

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])


class Conversation(socketserver.StreamRequestHandler):
    """What a client of SMTP says, answered as RFC 5321 wants it."""

    def handle(self) -> None:
        """Takes mails until the client says that it is done."""
        assert isinstance(self.server, MailServer)
        self.answer("220 ready")
        while words := self.rfile.readline().upper().split():
            if words[0] == b"DATA":
                self.answer("354 go on")
                self.server.mails.append(b"".join(iter(self.rfile.readline, b".\r\n")).decode().replace("\r\n", "\n"))
            self.answer("221 bye" if words[0] == b"QUIT" else "250 done")

    def answer(self, line: str) -> None:
        """Says a line."""
        self.wfile.write(f"{line}\r\n".encode())


@contextmanager
def mail_server() -> Iterator[MailServer]:
    with MailServer() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("localhost", 0))
        return [int(one.getsockname()[1]) for one in sockets]


@contextmanager
def airflow(home: Path, dags: Path, mail_port: int) -> Iterator[Path]:
    """Starts all of Airflow's processes, which run each DAG that they find, and yields the file of its database."""
    api, worker_logs, trigger_logs = free_ports(3)
    environment = {
        **os.environ,
        "PATH": f"{AIRFLOW}:{os.environ['PATH']}",
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://localhost:{api}/execution/",
        "AIRFLOW__API__PORT": str(api),
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(worker_logs),
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(trigger_logs),
        "AIRFLOW_CONN_SMTP_DEFAULT": f"smtp://localhost:{mail_port}?disable_ssl=true&disable_tls=true"
        "&from_email=airflow%40example.com",
    }
    home.mkdir()
    with (home / "standalone.log").open("wb") as log:
        process = subprocess.Popen(
            [AIRFLOW / "airflow", "standalone"], env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield home / "airflow.db"
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(30)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def states(database: Path) -> dict[str, str]:
    """How the runs of each DAG ended; those that go on are left out."""
    if not database.exists():
        return {}
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
            rows = connection.execute("SELECT dag_id, state FROM dag_run WHERE state IN ('success', 'failed')")
            return dict(rows.fetchall())
    except sqlite3.OperationalError:  # Its tables are being made.
        return {}


def test_the_scheduler_runs_every_dag_and_writes_to_who_is_on_call_when_one_fails(tmp_path: Path) -> None:
    """As they are, but for where things lie, how long one waits for the next try, and for images that came just now."""
    store, uploads, dags = tmp_path / "bucket" / "store", tmp_path / "bucket" / "uploads", tmp_path / "dags"
    extract(f"--input={write_pictures(tmp_path / 'earlier', 3)[0].parent}", f"--output={store}", *SMALL_BASE)
    stale = shutil.copytree(store, tmp_path / "stale")  # To which no image comes meanwhile.
    write_pictures(uploads / str(YESTERDAY), 5, seed=1)
    (tmp_path / "opt").mkdir()
    dags.mkdir()
    options = " ".join(SMALL_BASE)
    for dag in DAGS:
        text = dag.read_text()
        for written, here in (
            ("/opt/convbase/.venv/bin/python", sys.executable),
            ("/opt/convbase", str(REPOSITORY)),
            ("gs://bucket/store --freshness 26h", f"{stale} --freshness 1s"),
            ("gs://bucket", str(tmp_path / "bucket")),
            ("minutes=10", "seconds=1"),
            ("--lookback 3", f"--lookback 3 {options}"),
        ):
            text = text.replace(written, here)
        (dags / dag.name).write_text(text)
    until = time.monotonic() + SECONDS
    with mail_server() as mails, airflow(tmp_path / "home", dags, mails.port) as database:
        while len(found := states(database)) < len(DAGS) and time.monotonic() < until:
            time.sleep(1)
        until = time.monotonic() + 30
        while not mails.mails and time.monotonic() < until:
            time.sleep(1)
    assert found == {
        "convbase_nightly_backfill": "success",
        "convbase_weekly_upkeep": "success",
        "convbase_freshness": "failed",
    }, (tmp_path / "home" / "standalone.log").read_text()[-4000:]
    assert [re.findall(r"^(?:Subject|To): .*$", mail, re.MULTILINE) for mail in mails.mails] == [
        ["Subject: convbase: no images came", "To: on-call@example.com"]
    ]
    logs = (tmp_path / "home" / "logs" / "dag_id=convbase_freshness").rglob("*.log")
    assert any("non-zero exit code 4" in log.read_text() for log in logs)
    assert FeatureStore.open(str(store)).scan().count() == 8
