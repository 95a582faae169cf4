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


# What a first apply is asked for.
ASKED = ("project=p", "region=europe-west1", "images_bucket=pictures", 'alert_channels=["projects/p/channels/1"]')


def terraform(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("terraform") or shutil.which("tofu")
    if program is None:
        pytest.skip("needs terraform or tofu")
    command = [program, f"-chdir={folder}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_terraform_would_format_nothing() -> None:
    done = terraform(TERRAFORM, "fmt", "-check", "-diff", "-recursive")
    assert (done.returncode, done.stdout) == (0, "")


@pytest.fixture(scope="module")
def with_provider(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the configuration, with Google's provider installed."""
    copied = tmp_path_factory.mktemp("cloud") / "infra"
    shutil.copytree(TERRAFORM.parent, copied, ignore=shutil.ignore_patterns(".terraform", "container"))
    done = terraform(copied / "terraform", "init", "-backend=false", "-input=false", "-no-color")
    if done.returncode and "Failed to query available provider packages" in done.stderr:
        pytest.skip("needs Google's provider, which terraform init finds neither in a registry nor in a mirror")
    assert done.returncode == 0, done.stderr
    return copied / "terraform"


def test_the_provider_takes_the_configuration(with_provider: Path) -> None:
    done = terraform(with_provider, "validate", "-no-color")
    assert done.returncode == 0, done.stdout


def test_plans_are_what_they_should_be(with_provider: Path) -> None:
    """The runs of `infra/terraform/tests`, with made answers in the cloud's place."""
    done = terraform(with_provider, "test", "-no-color")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ((), None),
        ((f"image=r/convbase@sha256:{'0' * 64}",), None),
        (("image=r/convbase:latest",), "has to be named by its digest"),
        (("alert_channels=[]",), "has to reach somebody"),
        (("name=Convbase",), "lower-case letters"),
        (("store_soft_delete_days=3",), "0 or 7 to 90 days"),
    ],
)
def test_what_is_asked_for_is_checked(given: tuple[str, ...], complaint: str | None, tmp_path: Path) -> None:
    """By the variables alone, which need no provider."""
    shutil.copy(TERRAFORM / "variables.tf", tmp_path)
    variables = [f"-var={value}" for value in (*ASKED, *given)]
    done = terraform(tmp_path, "plan", "-input=false", "-no-color", *variables)
    assert (done.returncode == 0) == (complaint is None), done.stderr
    assert (complaint or "") in " ".join(re.sub("[│╷╵]", "", done.stderr).split())


def test_a_first_apply_asks_for_nothing_that_it_makes_and_for_where_alerts_go() -> None:
    blocks = re.findall(r'^variable "(\w+)" \{(.*?)^\}', CODE, flags=re.M | re.S)
    assert {name for name, block in blocks if not re.search(r"^  default\s+=", block, flags=re.M)} == {
        value.partition("=")[0] for value in ASKED
    }


def test_there_is_no_night_before_there_is_an_image() -> None:
    counted = re.findall(r'^resource "\w+" "(\w+)" \{\n  count = local\.nights$', CODE, flags=re.M)
    assert sorted(counted) == ["coverage", "failure", "nightly", "template"]
    assert "nights = var.image == null ? 0 : 1" in CODE


def test_what_an_api_makes_waits_for_it() -> None:
    """What refers to nothing else of ours waits for nothing by itself."""
    resources = re.findall(r'^resource "(\w+)" "(\w+)" \{(.*?)^\}', CODE, flags=re.M | re.S)
    made = [block for kind, name, block in resources if f"{kind}.{name}" != "google_project_service.this"]
    first = [block for block in made if not re.search(r"google_\w+\.\w+[.\[]", block.partition("depends_on")[0])]
    assert len(first) > 8
    assert [block for block in first if "depends_on = [google_project_service.this]" not in block] == []


def test_state_is_kept_in_a_bucket() -> None:
    assert re.search(r'backend "gcs" \{\s+prefix = "\w+"\s+\}', CODE)


def test_deletions_are_logged_and_kept() -> None:
    assert re.search(r'service = "storage.googleapis.com"\s+audit_log_config \{\s+log_type = "DATA_WRITE"', CODE)
    assert 'protoPayload.methodName = "storage.objects.delete"' in CODE
    assert "retention_days = var.deletions_kept_days" in CODE


def test_workers_without_an_address_reach_storage() -> None:
    assert 'ipConfiguration       = "WORKER_IP_PRIVATE"' in CODE
    assert "private_ip_google_access = true" in CODE
    assert "condition     = self.private_ip_google_access" in CODE


def test_every_reference_is_declared() -> None:
    declared = {f"{kind}.{name}" for kind, name in re.findall(r'^resource "(\w+)" "(\w+)"', CODE, flags=re.M)}
    declared |= {f"data.{kind}.{name}" for kind, name in re.findall(r'^data "(\w+)" "(\w+)"', CODE, flags=re.M)}
    declared |= {f"var.{name}" for name in re.findall(r'^variable "(\w+)"', CODE, flags=re.M)}
    for block in re.findall(r"^locals \{\n(.*?)^\}", CODE, flags=re.M | re.S):
        declared |= {f"local.{name}" for name in re.findall(r"^  (\w+)\s+=", block, flags=re.M)}
    used = set(re.findall(r"(?<![\w.])((?:data\.)?google_\w+\.\w+)[.\[]", CODE)) | set(re.findall(r"\bvar\.\w+", CODE))
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
