"""The corpus holds; and the driver finds what does not: errors, deaths, and inputs that take too much."""

import os
import signal
from collections.abc import Callable

import pytest

from tests.fuzz import driver
from tests.fuzz.__main__ import main
from tests.fuzz.driver import fuzz
from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS

CORPUS = [(name, known) for name, target in TARGETS.items() for known in target.corpus]


@pytest.mark.parametrize(("name", "known"), CORPUS)
def test_the_corpus_holds(name: str, known: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    assert TARGETS[name].check(TARGETS[name].corpus[known])


@pytest.mark.parametrize("name", TARGETS)
def test_inputs_depend_on_seed_and_number_alone(name: str) -> None:
    first = [TARGETS[name].input(1, number) for number in range(100, 110)]
    assert first == [TARGETS[name].input(1, number) for number in range(100, 110)]
    assert first != [TARGETS[name].input(2, number) for number in range(100, 110)]


def failing_at(number: int, fail: Callable[[], object]) -> Target[int]:
    def check(given: int) -> str:
        if given == number:
            fail()
        return "whole"

    return Target(lambda chance: chance.randrange(10**6), check, {str(each): each for each in range(20)})


def allocate() -> None:
    bytes(2 * driver.MEMORY)


def work_on() -> None:
    while True:
        pass


FAILURES: dict[str, Callable[[], object]] = {
    "ZeroDivisionError": lambda: 1 // 0,
    "MemoryError": allocate,
    "the process ends by SIGSEGV": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "the process ends with 7": lambda: os._exit(7),
    "more than 0.2 s of processor time": work_on,
    "no answer for 3 s": signal.pause,
}


@pytest.mark.parametrize("kind", FAILURES)
def test_what_fails_is_found_and_the_others_are_tried(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "DEADLINE_SECONDS", 0.2)
    monkeypatch.setattr(driver, "SILENCE_SECONDS", 3)
    done = fuzz(failing_at(7, FAILURES[kind]), 0, range(50), 60)
    ((found, fault),) = done.faults.items()
    assert found.startswith(kind)
    assert (fault.number, fault.times, done.tried) == (7, 1, 50)


def test_a_fault_ends_the_command_with_1_and_says_how_to_see_it_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(TARGETS, "uris", failing_at(3, FAILURES["ZeroDivisionError"]))  # type: ignore[arg-type]
    assert main(["--targets=uris", "--inputs=5", "--seed=4"]) == 1
    assert "make fuzz FUZZ=uris SEED=4 INPUT=3" in capsys.readouterr().out
    assert main(["--targets=uris", "--inputs=3"]) == 0
