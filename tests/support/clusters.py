"""Clusters of Flink and Spark on this machine, of the jars that Beam's job servers are made of.

`make flink spark` makes the jars.
"""

import contextlib
import json
import re
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import psutil
import pytest

from tests.conftest import REPOSITORY
from tests.support.portable import job_server_jar, running
from tests.support.s3_servers import free_port

JOB_SERVERS = REPOSITORY / "infra" / "job-servers"

_SECONDS_TO_START = 60
_MEMORY = "-Xmx512m"
_SECONDS_FOR_THREADS = 3
_CHARACTERS_OF_A_LOG = 12000
_ZOOKEEPER = "zookeeper.FlinkZooKeeperQuorumPeer"
_JOB_MANAGER = "entrypoint.StandaloneSessionClusterEntrypoint"


class FlinkCluster:
    """A ZooKeeper, two JobManagers and a TaskManager.

    Attributes:
        folder: Its files.
        configuration: The folder of its configuration, for job servers.
        rest_ports: Of the JobManagers.
    """

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self.folder = folder
        self.configuration = folder / "conf"
        self.rest_ports = [free_port(), free_port()]
        self._stack = stack
        self._quorum = free_port()
        self._job_managers: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, slots: int) -> None:
        """Starts all of it, and waits until the slots are offered."""
        self._configure(slots)
        zookeeper = self.folder / "zoo.cfg"
        zookeeper.write_text(
            f"dataDir={self.folder}/zookeeper\nclientPort={self._quorum}\nserver.1=localhost:{free_port()}:{free_port()}\n"
            "admin.enableServer=false\n"
        )
        self._run(_ZOOKEEPER, "--zkConfigFile", str(zookeeper), "--peerId", "1", port=self._quorum)
        for port in self.rest_ports:
            options = (f"-Drest.port={port}", f"-Djobmanager.rpc.port={free_port()}")
            self._job_managers[port] = self._run(_JOB_MANAGER, *self._configured(), *options, port=port)
        self._run("taskexecutor.TaskManagerRunner", *self._configured())
        _wait(lambda: self._overview()["slots-available"] == slots)

    def kill_leader(self) -> int:
        """Kills the JobManager that leads, and returns its port."""
        leader = self.leader()
        self._job_managers[leader].kill()
        return leader

    def _configure(self, slots: int) -> None:
        example = (JOB_SERVERS / "flink" / "cluster" / "flink-conf.yaml").read_text()
        here = example.replace("zookeeper-1:2181,zookeeper-2:2181,zookeeper-3:2181", f"localhost:{self._quorum}")
        here = here.replace("file:///shared/flink", f"file://{self.folder}/high-availability")
        self.configuration.mkdir(parents=True)
        (self.configuration / "flink-conf.yaml").write_text(
            here
            + f"""
jobmanager.rpc.address: localhost
rest.address: localhost
taskmanager.host: localhost
taskmanager.numberOfTaskSlots: {slots}
taskmanager.cpu.cores: {slots}
taskmanager.memory.framework.heap.size: 128m
taskmanager.memory.framework.off-heap.size: 128m
taskmanager.memory.task.heap.size: 256m
taskmanager.memory.task.off-heap.size: 0m
taskmanager.memory.managed.size: 128m
taskmanager.memory.network.min: 256m
taskmanager.memory.network.max: 256m
taskmanager.memory.jvm-metaspace.size: 256m
taskmanager.memory.jvm-overhead.min: 192m
taskmanager.memory.jvm-overhead.max: 192m
io.tmp.dirs: {self.folder}
"""
        )

    def _configured(self) -> tuple[str, str]:
        return "--configDir", str(self.configuration)

    def _run(self, main: str, *arguments: str, port: int | None = None) -> "subprocess.Popen[bytes]":
        library = job_server_jar("flink").parent / "lib"
        command = ["java", _MEMORY, *_opened(), "-cp", f"{library}/*", f"org.apache.flink.runtime.{main}", *arguments]
        return self._stack.enter_context(running(command, port, self._log(main, port)))

    def _overview(self) -> dict[str, int]:
        with urllib.request.urlopen(f"http://localhost:{self.rest_ports[0]}/overview", timeout=5) as answer:
            found: dict[str, int] = json.load(answer)
        return found

    def leader(self) -> int:
        """The port of the JobManager that leads."""
        alive = [port for port, process in self._job_managers.items() if process.poll() is None]
        (port,) = [port for port in alive if "was granted leadership" in self._log(_JOB_MANAGER, port).read_text()]
        return port

    def _log(self, main: str, port: int | None) -> Path:
        return self.folder / f"{main}-{port}.log"


@contextlib.contextmanager
def flink_cluster(folder: Path, slots: int = 2) -> Iterator[FlinkCluster]:
    """Runs a cluster of Flink whose JobManagers take each other's place."""
    with contextlib.ExitStack() as stack:
        cluster = FlinkCluster(folder, stack)
        cluster.start(slots)
        yield cluster


@contextlib.contextmanager
def spark_cluster(folder: Path) -> Iterator[str]:
    """Runs a standalone cluster of Spark, of a master and two workers of one core, and yields the master's URL."""
    library = job_server_jar("spark").parent / "lib"
    home = folder / "spark"
    (home / "jars").mkdir(parents=True)
    for jar in library.glob("*.jar"):
        if not jar.name.startswith("beam-"):
            (home / "jars" / jar.name).symlink_to(jar)
    environment = {"SPARK_HOME": str(home), "SPARK_SCALA_VERSION": "2.12", "SPARK_LOCAL_IP": "127.0.0.1"}
    port = free_port()
    master = f"spark://localhost:{port}"
    java = ["java", _MEMORY, *_opened(), "-cp", f"{home}/jars/*"]
    with contextlib.ExitStack() as stack:
        leading = [*java, "org.apache.spark.deploy.master.Master", "--host", "localhost", "--webui-port", "0"]
        stack.enter_context(running([*leading, "--port", str(port)], port, folder / "master.log", environment))
        for number in range(2):
            worker = [*java, "org.apache.spark.deploy.worker.Worker", "--host", "localhost", "--cores", "1"]
            worker += ["--memory", "1g", "--webui-port", "0", "--work-dir", f"{folder}/work-{number}", master]
            stack.enter_context(running(worker, None, folder / f"worker-{number}.log", environment))
        _wait(lambda: (folder / "master.log").read_text().count("Registering worker") == 2)
        yield master


def beam_for_executors() -> tuple[str, ...]:
    """The options by which a job brings Beam to executors, and nothing that Spark has already.

    Without them each executor fetches all of the job server's jars, 264 of 300 MB, and writes each twice: on a busy
    machine that alone takes minutes, in which nothing is heard of the job.
    """
    jars = job_server_jar("spark").parent.glob("lib/beam-*.jar")
    return tuple(f"--files_to_stage={jar}" for jar in sorted(jars))


def wait_for_end(process: ForkServerProcess, seconds: float, folder: Path) -> None:
    """Waits for the end of a job on a cluster; one that takes longer fails the test, with what all of them do.

    Args:
        process: The job's launcher.
        seconds: How long it may take.
        folder: Where the logs are; each Java process writes its threads into its own.
    """
    process.join(seconds)
    if not process.is_alive():
        return
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if child.name() == "java":
                child.send_signal(signal.SIGQUIT)
    time.sleep(_SECONDS_FOR_THREADS)
    process.kill()
    process.join()
    logs = [path for pattern in ("*log", "std*") for path in sorted(folder.rglob(pattern)) if path.is_file()]
    ends = [f"== {path}\n{path.read_text(errors='replace')[-_CHARACTERS_OF_A_LOG:]}" for path in logs]
    pytest.fail("\n".join([f"The job has not ended after {seconds:.0f} s.", *ends]), pytrace=False)


def _opened() -> list[str]:
    """What Java 17 has to open, as the job servers' manifests do."""
    (packages,) = re.findall(r"<opened>(.*)</opened>", (JOB_SERVERS / "pom.xml").read_text())
    return [f"--add-opens={package}=ALL-UNNAMED" for package in packages.split()]


def _wait(is_done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _SECONDS_TO_START
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if is_done():
                return
        time.sleep(0.2)
    raise RuntimeError("The cluster is not ready after a minute.")
