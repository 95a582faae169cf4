"""The audit of the lock files: what fails it, what is ignored with a reason, and what is said where nobody answers."""

import datetime
import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

from tests.conftest import REPOSITORY

TODAY = datetime.date(2026, 11, 30)
ENTRY = '[[ignored]]\nid = "{}"\nreason = "never called"\nuntil = {}\n'


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit", REPOSITORY / ".ci" / "audit.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def report(**packages: list[dict[str, object]]) -> str:
    found = [{"name": name, "version": "1.0", "vulns": vulnerabilities} for name, vulnerabilities in packages.items()]
    return json.dumps({"dependencies": [*found, {"name": "skipped", "skip_reason": "not on PyPI"}], "fixes": []})


def test_what_is_known_is_named_with_its_remedy(audit: ModuleType) -> None:
    known = {"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["1.1", "2.0"]}
    unmended = {"id": "GHSA-2", "aliases": [], "fix_versions": []}
    assert audit.found(report(good=[], bad=[known, unmended]), {}) == [
        "bad 1.0: PYSEC-1, mended in 1.1, 2.0",
        "bad 1.0: GHSA-2, mended in no version yet",
    ]
    assert audit.found(report(bad=[known]), {"CVE-1": "never called"}) == []


def test_what_is_ignored_has_a_reason_and_an_end(audit: ModuleType) -> None:
    text = ENTRY.format("A", "2026-12-31") + ENTRY.format("B", "2026-11-01")
    assert audit.ignored(text, TODAY) == {"A": "never called"}
    with pytest.raises(ValueError, match="without a reason"):
        audit.ignored('[[ignored]]\nid = "A"\nuntil = 2026-12-31\n', TODAY)
    with pytest.raises(ValueError, match="without a reason, or without a day"):
        audit.ignored('[[ignored]]\nid = "A"\nreason = "x"\n', TODAY)
    audit.ignored(audit.IGNORED.read_text(), TODAY)


@pytest.fixture
def given(audit: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The audit, of one lock file whose bill of materials is there."""
    monkeypatch.setattr(audit, "write_bill", lambda lock: audit.BILLS / "bill.json")
    monkeypatch.setattr(audit.sys, "argv", ["audit.py", str(tmp_path / "requirements.lock")])
    return audit


def test_where_no_database_answers_that_is_said_and_nothing_fails(
    given: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(given.sys, "executable", "/bin/false")
    assert given.main() == 0
    assert "NOT AUDITED: no database of vulnerabilities can be reached from here." in capsys.readouterr().out


def test_a_database_that_knows_nothing_is_none(
    given: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(given, "audit", lambda *_: report(jinja2=[]))
    assert given.main() == 0
    assert "NOT AUDITED" in capsys.readouterr().out


def test_a_known_vulnerability_fails(
    given: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(given, "audit", lambda *_: report(bad=[{"id": "PYSEC-1", "fix_versions": []}]))
    assert given.main() == 1
    said = capsys.readouterr().out
    assert "bad 1.0: PYSEC-1" in said
    assert "skipped: NOT AUDITED" in said
