"""Looks up the packages of the lock files in the databases of known vulnerabilities, and lists them as an SBOM.

    .venv-audit/bin/python .ci/audit.py infra/locks/*.lock

Exit codes: 0 nothing is known, or no database can be reached, which is said; 1 something is known that
`.ci/ignored-vulnerabilities.toml` does not give a reason to ignore.
"""

import datetime
import json
import os
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent
IGNORED: Final = FOLDER / "ignored-vulnerabilities.toml"
BILLS: Final = FOLDER.parent / "build" / "sbom"
# Asked one after the other until one answers: PyPI's own, and OSV.
SERVICES: Final = ("pypi", "osv")
# CVE-2019-10906, and others.
KNOWN: Final = "jinja2==2.10 --hash=sha256:f84be1bb0040caca4cea721fcbbbbd61f9be9464ca236387158b0feea01914a4\n"
_SECONDS: Final = 300


def ignored(text: str, today: datetime.date) -> dict[str, str]:
    """Returns the vulnerabilities that are ignored on a day, and why.

    Raises:
        ValueError: If one has no reason, or none to look at it again.
    """
    known = {}
    for entry in tomllib.loads(text).get("ignored", []):
        if not entry.get("reason") or not isinstance(entry.get("until"), datetime.date):
            raise ValueError(f"{entry.get('id')} is ignored without a reason, or without a day on which that ends.")
        if entry["until"] >= today:
            known[entry["id"]] = entry["reason"]
    return known


def found(report: str, known: dict[str, str]) -> list[str]:
    """Returns a line for each vulnerability in a report of pip-audit that is not ignored."""
    lines = []
    for package in json.loads(report)["dependencies"]:
        for one in package.get("vulns", []):
            if not {one["id"], *one.get("aliases", [])} & known.keys():
                fixed = ", ".join(one["fix_versions"]) or "no version yet"
                lines.append(f"{package['name']} {package['version']}: {one['id']}, mended in {fixed}")
    return lines


def skipped(report: str) -> list[str]:
    """Returns the packages that a report of pip-audit does not judge."""
    return [package["name"] for package in json.loads(report)["dependencies"] if "skip_reason" in package]


def answering_service() -> str | None:
    """Returns the first database that knows what has long been known; None where none can be reached.

    One that answers nothing, as a mirror of PyPI does, would have everything pass.
    """
    with tempfile.TemporaryDirectory() as folder:
        lock = Path(folder, "known.lock")
        lock.write_text(KNOWN)
        for service in SERVICES:
            report = audit(lock, service)
            if report is not None and found(report, {}):
                return service
    return None


def audit(lock: Path, service: str) -> str | None:
    """Returns pip-audit's report on a lock file as JSON; None where the database does not answer."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        command = [sys.executable, "-m", "pip_audit", "--requirement", lock, "--require-hashes", "--disable-pip"]
        command += ["--vulnerability-service", service, "--format", "json", "--output", report]
        command += ["--progress-spinner", "off"]
        try:
            subprocess.run(command, capture_output=True, check=False, timeout=_SECONDS)  # noqa: S603
        except subprocess.TimeoutExpired:
            return None
        return report.read_text() if report.exists() and report.stat().st_size else None


def write_bill(lock: Path) -> Path:
    """Writes the packages of a lock file as CycloneDX."""
    BILLS.mkdir(parents=True, exist_ok=True)
    bill = BILLS / f"{lock.stem}.cdx.json"
    command = [sys.executable, "-m", "cyclonedx_py", "requirements", lock, "--output-reproducible"]
    command += ["--pyproject", FOLDER.parent / "pyproject.toml", "--output-file", bill]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONWARNINGS": "ignore"})  # noqa: S603
    return bill


def main() -> int:
    """Runs the command and returns its exit code."""
    known = ignored(IGNORED.read_text(), datetime.datetime.now(datetime.UTC).date())
    locks = [Path(argument) for argument in sys.argv[1:]]
    for lock in locks:
        print(f"{lock}: packages in {write_bill(lock)}")
    service = answering_service()
    if service is None:
        print("NOT AUDITED: no database of vulnerabilities can be reached from here.")
        return 0
    bad = False
    for lock in locks:
        report = audit(lock, service)
        if report is None:
            print(f"{lock}: NOT AUDITED, {service} no longer answers.")
            continue
        lines = [*found(report, known), *(f"{name}: NOT AUDITED, {service} lacks it" for name in skipped(report))]
        print(f"{lock}:", *(f"  {line}" for line in lines or ["no known vulnerability"]), sep="\n")
        bad = bad or bool(found(report, known))
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
