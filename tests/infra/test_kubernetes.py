"""Kubernetes gets what its API server takes: jobs that end, pods without rights, alerts about jobs that exist."""

import importlib
import re
from pathlib import Path

import pytest
import yaml

from tests.conftest import REPOSITORY
from tests.support.kubernetes import CRON_JOB, FRESHNESS_JOB, KUBERNETES, OVERLAYS, UPKEEP_JOB, built, complaints, pod


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
    assert rule["onExitCodes"]["values"] == [2, 4]
    assert rule["onExitCodes"]["containerName"] == backfill["name"]
    assert spec["template"]["spec"]["restartPolicy"] == "Never", "podFailurePolicy asks for it"


@pytest.mark.parametrize("job", [CRON_JOB, UPKEEP_JOB, FRESHNESS_JOB], ids=lambda path: path.stem)
def test_a_condition_of_a_cron_job_has_a_status(job: Path) -> None:
    rules = yaml.safe_load(job.read_text())["spec"]["jobTemplate"]["spec"]["podFailurePolicy"]["rules"]
    conditions = [condition for rule in rules for condition in rule.get("onPodConditions", ())]
    assert conditions
    assert all(condition["status"] == "True" for condition in conditions), "older API servers refuse it without"


@pytest.mark.parametrize("job", [CRON_JOB, UPKEEP_JOB, FRESHNESS_JOB], ids=lambda path: path.stem)
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


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_names_namespace_image_and_store(overlay: str) -> None:
    documents = list(yaml.safe_load_all(built(overlay)))
    kinds = sorted(document["kind"] for document in documents if document["kind"] != "PersistentVolumeClaim")
    assert kinds == ["CronJob", "CronJob", "CronJob", "Namespace", "NetworkPolicy", "ServiceAccount", "ServiceAccount"]
    for document in documents:
        assert "convbase" in (document["metadata"].get("namespace"), document["metadata"]["name"])
    assert re.findall(r"image: (?!\S+@sha256:[0-9a-f]{64}$).*", built(overlay), flags=re.M) == []
    assert "gs://bucket" not in built(overlay)


def test_pods_on_gke_have_accounts_of_terraform() -> None:
    accounts = re.findall(r"iam.gke.io/gcp-service-account: convbase-(\w+)@", built("gke"))
    text = (REPOSITORY / "infra" / "terraform" / "accounts.tf").read_text()
    assert sorted(accounts) == ["maintenance", "worker"]
    assert all(f'account_id   = "${{var.name}}-{account}"' in text for account in accounts)
    names = [one["metadata"]["name"] for one in yaml.safe_load_all(built("gke")) if one["kind"] == "ServiceAccount"]
    (pods,) = re.findall(r'"google_service_account_iam_member" "pods" \{\n(.*?)^\}', text, flags=re.M | re.S)
    assert sorted(re.findall(r"^\s+([\w-]+)\s+= google_service_account", pods, flags=re.M)) == sorted(names)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_api_server_takes_what_an_overlay_makes(overlay: str) -> None:
    assert complaints(built(overlay)) == ""


@pytest.mark.parametrize(
    ("right", "wrong", "complaint"),
    [
        ('status: "True"', "status: Perhaps", "onPodConditions[0].status: Unsupported value"),
        ("restartPolicy: Never", "restartPolicy: OnFailure", "restartPolicy"),
        ('schedule: 0 2 * * *', "schedule: every night", "schedule: Invalid value"),
        ("concurrencyPolicy", "concurrency", 'unknown field "spec.concurrency"'),
        ("runAsNonRoot: true", "runAsNonRoot: false", "the pod is not restricted"),
    ],
)  # fmt: skip
def test_the_api_servers_rules_see_what_is_wrong(right: str, wrong: str, complaint: str) -> None:
    """The first is what a schema alone does not see."""
    assert right in built("gke")
    assert complaint in complaints(built("gke").replace(right, wrong))


def test_whoever_writes_to_a_shared_disk_leaves_it_to_the_group() -> None:
    for document in yaml.safe_load_all(built("shared-disk")):
        if document["kind"] == "CronJob":
            spec = document["spec"]["jobTemplate"]["spec"]["template"]["spec"]
            assert spec["securityContext"]["fsGroup"] == spec["securityContext"]["runAsGroup"]
            for one in (*spec.get("initContainers", ()), *spec["containers"]):
                shell, option, script, *_ = one["command"]
                assert (shell, option) == ("sh", "-c")
                module, *arguments = re.fullmatch(r'umask 002 && exec python -m (\S+) "\$@"', script)[1], *one["args"]
                importlib.import_module(module).parser().parse_args(arguments)


def test_alerts_are_about_jobs_that_exist() -> None:
    rules = yaml.safe_load((KUBERNETES / "components" / "alerts" / "prometheus-rule.yaml").read_text())
    (group,) = rules["spec"]["groups"]
    named = {name for rule in group["rules"] for name in re.findall(r'cronjob="([\w-]+)"', rule["expr"])}
    jobs = [yaml.safe_load(job.read_text()) for job in (CRON_JOB, UPKEEP_JOB)]
    assert named == {job["metadata"]["name"] for job in jobs}
