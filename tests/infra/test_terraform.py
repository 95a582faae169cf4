"""The cloud's configuration is whole, grants what is needed and no more, and reads what the code says."""

import logging
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from pipelines import extract as extract_command
from pipelines.template import template_parameters
from tests.conftest import REPOSITORY, SMALL_BASE, extract, write_pictures

TERRAFORM = REPOSITORY / "infra" / "terraform"
TEXT = "\n".join(path.read_text() for path in sorted(TERRAFORM.glob("*.tf")))
# Comments and the words of strings name things that are none; what is inserted into strings does not.
CODE = re.sub(r"^\s*#.*$", "", TEXT, flags=re.M)

WORKERS_DELETE = (
    "features/_delta_log/_last_checkpoint", "failures/_delta_log/00000000000000000007.json",
    "runs/_delta_log/_last_checkpoint", "receipts/nightly/part-0.json", ".created-once-1f",
)  # fmt: skip
WORKERS_KEEP = (
    "features/ds=2026-01-31/nightly-0.parquet", "failures/ds=2026-01-31/nightly-0.parquet", "runs/0.parquet",
    "conv_bases/814468c54d291c6b/published.json", "takedowns/_delta_log/00000000000000000000.json",
)  # fmt: skip


def test_terraform_would_format_nothing() -> None:
    terraform = shutil.which("terraform") or shutil.which("tofu")
    if terraform is None:
        pytest.skip("needs terraform or tofu")
    done = subprocess.run(
        [terraform, f"-chdir={TERRAFORM}", "fmt", "-check", "-diff"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_every_reference_is_declared() -> None:
    declared = {f"{kind}.{name}" for kind, name in re.findall(r'^resource "(\w+)" "(\w+)"', CODE, flags=re.M)}
    declared |= {f"data.{kind}.{name}" for kind, name in re.findall(r'^data "(\w+)" "(\w+)"', CODE, flags=re.M)}
    declared |= {f"var.{name}" for name in re.findall(r'^variable "(\w+)"', CODE, flags=re.M)}
    for block in re.findall(r"^locals \{\n(.*?)^\}", CODE, flags=re.M | re.S):
        declared |= {f"local.{name}" for name in re.findall(r"^  (\w+)\s+=", block, flags=re.M)}
    used = set(re.findall(r"(?<![\w.])((?:data\.)?google_\w+\.\w+)\.", CODE)) | set(re.findall(r"\bvar\.\w+", CODE))
    used |= set(re.findall(r"\blocal\.\w+", CODE))
    assert len(used) > 30
    assert used <= declared
    assert {name for name in declared if name.startswith(("var.", "local."))} <= used


def test_versions_are_pinned() -> None:
    assert re.search(r'required_version = "~> [\d.]+"', CODE)
    assert re.search(r'source\s+= "hashicorp/google"\s+version = "~> [\d.]+"', CODE)


@pytest.mark.parametrize(
    ("path", "deleted"), [*((p, True) for p in WORKERS_DELETE), *((p, False) for p in WORKERS_KEEP)]
)
def test_workers_delete_log_entries_and_receipts_and_no_data(path: str, *, deleted: bool) -> None:
    (block,) = re.findall(r"worker_deletes = \[(.*?)\]", CODE, flags=re.S)
    prefixes = re.findall(r'"\$\{local\.objects\}/(.*)"', block)
    assert len(prefixes) == 5
    assert any(path.startswith(prefix) for prefix in prefixes) is deleted


def test_nobody_gets_a_wide_role() -> None:
    roles = set(re.findall(r'"(roles/[\w.]+)"', CODE))
    assert not roles & {"roles/owner", "roles/editor", "roles/storage.admin"}
    admins = re.findall(r'resource "google_storage_bucket_iam_member" "(\w+)" \{[^}]*roles/storage\.objectAdmin', CODE)
    assert admins == ["worker_temp"]


def test_the_store_keeps_nothing_that_was_deleted_unless_told() -> None:
    (store,) = re.findall(r'resource "google_storage_bucket" "store" \{.*?^\}', CODE, flags=re.M | re.S)
    assert re.search(r"versioning \{\s+enabled = false", store)
    assert "retention_duration_seconds = var.store_soft_delete_days * 86400" in store
    assert re.search(r'variable "store_soft_delete_days" \{[^}]*default\s+= 0', CODE)
    assert '"Delete"' not in store


def test_the_nightly_job_gives_options_that_the_template_has() -> None:
    (given,) = re.findall(r"parameters = merge\(\s+\{(.*?)\}", re.sub('"[^"]*"', '""', CODE), flags=re.S)
    names = re.findall(r"^\s+(\w+)\s+=", given, flags=re.M)
    known = {str(parameter["name"]): parameter for parameter in template_parameters(extract_command.parser())}
    assert {"input", "output"} <= set(names) <= set(known)
    engines = re.findall(r'engine = var\.gpu == null \? "(\w+)" : "(\w+)"', CODE)[0]
    assert set(engines) <= {option["value"] for option in known["engine"]["enumOptions"]}


def test_the_coverage_alert_reads_the_line_that_a_commit_logs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (line,) = re.findall(r'jsonPayload\.message =~ \\"(.*?)\\"', CODE)
    (value,) = re.findall(r'REGEXP_EXTRACT\(jsonPayload\.message, \\"(.*?)\\"\)', CODE)
    write_pictures(tmp_path / "pictures", 3)
    (tmp_path / "pictures" / "bad.jpg").write_bytes(b"no picture")
    with caplog.at_level(logging.INFO, "transforms.extraction.run_commit"):
        extract(
            f"--input={tmp_path}/pictures", f"--output={tmp_path}/store", "--max_failure_ratio=0.5", "--log_level=info",
            *SMALL_BASE,
        )  # fmt: skip
    (message,) = [record.getMessage() for record in caplog.records if re.search(line, record.getMessage())]
    assert re.findall(value, message) == ["0.7500"]
