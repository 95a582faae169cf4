"""Decoder processes: what is in them, what becomes of them, and that their death costs nothing."""

import contextlib
import logging
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import REPOSITORY, write_pictures
from tests.unit.transforms.images.test_loading import shard_of
from transforms.decoding import DecodingRules
from transforms.images import decoder_processes, loading
from transforms.images.decoder import DecodingTask, Destination, LocalFile, Undecoded
from transforms.images.decoder_processes import DecoderPool
from transforms.images.loading import LoadingPools, LoadingRules, load_batches
from transforms.runtime import Meter

RULES = LoadingRules(DecodingRules(16, 16), 10_000, 4)
KILLS = 300

# Loads pictures over and over, and says after each time how many there were; ends when it is told to.
PROGRAM = """
import select, sys
import pyarrow as pa
from schemas.images import ref_schema
from transforms.decoding import DecodingRules
from transforms.images.loading import LoadingPools, LoadingRules, load_batches
from transforms.runtime import Meter
pools = LoadingPools.start(2, 2)
shard = pa.RecordBatch.from_pylist([{"uri": uri, "version": "1"} for uri in sys.argv[1:]], schema=ref_schema())
rules = LoadingRules(DecodingRules(16, 16), 10_000, 4)
while not select.select([sys.stdin], [], [], 0)[0]:
    print(sum(len(batch.rows) for batch in load_batches(shard, rules, pools, [], Meter())), flush=True)
"""


def children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):  # It has ended, also between opening and reading.
        return []


def descendants(pid: int) -> list[int]:
    return [found for child in children(pid) for found in (child, *descendants(child))]


def server_of(pools: LoadingPools) -> int:
    server = pools.decoders._server
    assert server is not None
    return server._process.pid


def is_gone(pid: int) -> bool:
    """Whether a process has ended, although its parent may not have heard of it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def wait_until_gone(pids: list[int], seconds: float = 20) -> list[int]:
    """Returns those that are still there after some time."""
    end = time.monotonic() + seconds
    while (left := [pid for pid in pids if not is_gone(pid)]) and time.monotonic() < end:
        time.sleep(0.02)
    return left


def load(pools: LoadingPools, uris: list[str]) -> tuple[list[int], np.ndarray]:
    batches = [(batch.rows, batch.pixels.copy()) for batch in load_batches(shard_of(uris), RULES, pools, [], Meter())]
    return [row for rows, _ in batches for row in rows], np.concatenate([pixels for _, pixels in batches])


@pytest.fixture(scope="module")
def uris(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return [f"file://{path}" for path in write_pictures(tmp_path_factory.mktemp("pictures"), 200)]


@contextlib.contextmanager
def killing(pools: LoadingPools, kills: list[int], servers: bool, chance: random.Random) -> Iterator[None]:
    """Kills decoder processes, and now and then their server, after waits that are left to chance."""
    done = threading.Event()

    def kill() -> None:
        decoders: list[int] = []
        while len(kills) < KILLS and not done.wait(chance.uniform(0, 0.04)):
            # The decoders of a server that was killed live on without it.
            decoders = children(server_of(pools)) or decoders
            all_of_them = servers and chance.random() < 0.1
            victims = [server_of(pools), *decoders] if all_of_them else [chance.choice(decoders)] if decoders else []
            for victim in victims:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(victim, signal.SIGKILL)
                    kills.append(len(kills))

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize("servers", [False, True])
def test_processes_that_are_killed_cost_nothing(
    servers: bool, uris: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a busy machine kills may come faster than processes start and work, which is not what is tested here.
    monkeypatch.setattr(decoder_processes, "_MOST_FALSE_STARTS", KILLS)
    monkeypatch.setattr(decoder_processes, "_MOST_DEATHS", KILLS)
    monkeypatch.setattr(loading, "MOST_DEATHS", KILLS)
    pools = LoadingPools.start(2, 2)
    rows, pixels = load(pools, uris)
    assert rows == list(range(len(uris)))
    kills: list[int] = []
    chance = random.Random(0)
    for _ in range(10 * KILLS):
        if len(kills) >= KILLS:
            break
        with killing(pools, kills, servers, chance):
            rows_again, pixels_again = load(pools, uris)
        assert rows_again == rows
        np.testing.assert_array_equal(pixels_again, pixels)
        assert pools.decoders.in_processes
    assert len(kills) >= KILLS // 3


def test_processes_are_replaced(uris: list[str]) -> None:
    pools = LoadingPools.start(2, 2)
    load(pools, uris)
    before = children(server_of(pools))
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    load(pools, uris)
    after = children(server_of(pools))
    assert (len(before), len(after)) == (2, 2)
    assert not set(before) & set(after)


@pytest.mark.parametrize("end", ["killed", "interrupted", "at its end"])
def test_no_process_is_left_behind(end: str, uris: list[str]) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *uris], cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert int(process.stdout.readline()) == len(uris)
    pids = descendants(process.pid)
    assert len(pids) == 3
    if end == "killed":
        process.kill()
    elif end == "interrupted":
        os.killpg(process.pid, signal.SIGINT)
    process.communicate("end\n", timeout=60)
    assert process.returncode == {"killed": -signal.SIGKILL, "interrupted": -signal.SIGINT, "at its end": 0}[end]
    assert wait_until_gone(pids) == []


def test_processes_end_with_their_pool(uris: list[str]) -> None:
    pools = LoadingPools.start(2, 2)
    load(pools, uris)
    pids = [server_of(pools), *children(server_of(pools))]
    del pools
    assert wait_until_gone(pids) == []


def test_a_process_begins_with_the_decoder_and_nothing_else() -> None:
    slow = ("apache_beam", "tensorflow", "keras", "openvino", "pyarrow", "pandas", "fsspec", "deltalake", "scipy")
    program = f"import sys, transforms.images.decoder_server; print([name for name in {slow} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("reason", ["no memfd", "no interpreter", "no modules"])
def test_threads_decode_where_no_process_can_start(
    reason: str, uris: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    if reason == "no memfd":
        monkeypatch.delattr(os, "memfd_create")
    elif reason == "no interpreter":
        monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    else:
        monkeypatch.setattr(decoder_processes, "_PROGRAM", "raise SystemExit(1)")
    with caplog.at_level(logging.INFO, "transforms.images.decoder_processes"):
        pools = LoadingPools.start(2, 2)
        rows, _ = load(pools, uris)
    assert rows == list(range(len(uris)))
    assert not pools.decoders.in_processes
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == ["Decoding in threads"]


def test_what_a_process_raises_is_raised_here(uris: list[str]) -> None:
    pool = DecoderPool(1, 1)
    task = DecodingTask(DecodingRules(16, 16), 1)
    assert pool.run(lambda decoder: decoder.read([LocalFile("/nonexistent", None)], 10)) == [None]
    with pytest.raises(IndexError):
        pool.run(lambda decoder: decoder.decode([Undecoded(5, "", [Destination(0, 0)])], task))
    path = uris[0].removeprefix("file://")
    (content,) = pool.run(lambda decoder: decoder.read([LocalFile(path, None)], 10_000))
    assert content is not None
    assert content.size == Path(path).stat().st_size
