"""Jobs that Beam's own client submits to Dataflow's API, and what becomes of them; API and buckets are on loopback."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import fsspec
import pytest
from apache_beam.portability import common_urns

from pipelines import extract as extract_command
from pipelines.runners import explained_failures
from schemas.errors import RunFailed
from tests.conftest import SMALL_BASE, extract, write_pictures
from tests.support.gcs_server import gcs_server
from tests.support.portable import comparable

pytest.importorskip("google.cloud.dataflow_v1beta3", reason="needs google-cloud-dataflow-client")

from tests.support.dataflow_api import DataflowApi, dataflow_api

IMAGE = "registry/convbase:1"
GPU = "type:nvidia-l4;count:1;install-nvidia-driver"


class Cloud:
    """A bucket with pictures, and an API.

    Attributes:
        api: The API.
        bucket: The bucket's URI.
    """

    def __init__(self, api: DataflowApi, endpoint: str, bucket: str) -> None:
        self.api = api
        self.bucket = bucket
        self._options = (
            "--runner=DataflowRunner", "--project=project", "--region=europe-west1", f"--temp_location={bucket}/temp",
            f"--dataflow_endpoint={endpoint}", "--no_auth", f"--sdk_container_image={IMAGE}",
            "--sdk_location=container",
        )  # fmt: skip

    def extract(self, *options: str) -> int:
        return extract_command.main([f"--input={self.bucket}/pictures", *SMALL_BASE, *self._options, *options])


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    folder = tmp_path_factory.mktemp("cloud")
    write_pictures(folder / "pictures", 5)
    with gcs_server(folder) as bucket, dataflow_api() as (api, endpoint):
        fsspec.filesystem("gs").put(f"{folder}/pictures/", f"{bucket}/pictures", recursive=True)
        yield Cloud(api, endpoint, f"gs://{bucket}")


@pytest.fixture(scope="module")
def store(cloud: Cloud) -> str:
    """A store that a job has filled."""
    store = f"{cloud.bucket}/store"
    hints = ("--resource_hint=min_ram=8GB", f"--resource_hint=accelerator={GPU}")
    assert cloud.extract(f"--output={store}", "--shard_size=2", *hints) == 0
    return store


@pytest.fixture(scope="module")
def environment(cloud: Cloud, store: str) -> dict[str, Any]:
    """The environment that the job asked for."""
    from google.cloud import dataflow

    job = dataflow.Job.from_json(json.dumps(cloud.api.jobs[0]))
    asked: dict[str, Any] = json.loads(dataflow.Job.to_json(job, use_integers_for_enums=False))["environment"]
    return asked


def test_a_job_fills_the_table_as_the_direct_runner_does(cloud: Cloud, store: str, tmp_path: Path) -> None:
    extract(f"--input={cloud.bucket}/pictures", f"--output={tmp_path}/store", *SMALL_BASE)
    assert comparable(store).num_rows == 5
    assert comparable(store).equals(comparable(tmp_path / "store"))


def test_a_machine_has_one_process_two_shards_at_once_and_as_many_as_the_throughput_asks(
    environment: dict[str, Any],
) -> None:
    (pool,) = environment["workerPools"]
    options = environment["sdkPipelineOptions"]["options"]
    assert "no_use_multiple_sdk_containers" in environment["experiments"]
    assert "use_multiple_sdk_containers" not in environment["experiments"]
    assert options["number_of_worker_harness_threads"] == 2
    assert pool["autoscalingSettings"]["algorithm"] == "AUTOSCALING_ALGORITHM_BASIC"
    assert not options["save_main_session"]


def test_workers_run_our_image_and_nothing_of_ours_is_staged(environment: dict[str, Any]) -> None:
    (pool,) = environment["workerPools"]
    assert {image["containerImage"] for image in pool["sdkHarnessContainerImages"]} == {IMAGE}
    assert [package["name"] for package in pool["packages"]] == ["submission_environment_dependencies.txt"]


def test_beam_writes_its_own_version(environment: dict[str, Any]) -> None:
    assert environment["userAgent"]["version"] == beam.__version__


def test_resource_hints_are_in_it(cloud: Cloud, store: str) -> None:
    environments = cloud.api.pipelines[0].components.environments.values()
    assert {
        common_urns.resource_hints.MIN_RAM_BYTES.urn: b"8000000000",
        common_urns.resource_hints.ACCELERATOR.urn: GPU.encode(),
    } in [dict(environment.resource_hints) for environment in environments]


def test_shards_cross_the_fusion_break_as_arrow(cloud: Cloud, store: str) -> None:
    components = cloud.api.pipelines[0].components
    (reshuffle,) = [each for each in components.transforms.values() if each.unique_name == "Reshuffle"]
    (shards,) = reshuffle.inputs.values()
    assert b"RecordBatchCoder$" in components.coders[components.pcollections[shards].coder_id].spec.payload


def test_a_failed_job_fails_the_run_in_one_sentence_and_names_the_picture(
    cloud: Cloud, store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fsspec.filesystem("gs").pipe(f"{cloud.bucket}/bad/page.jpg", b"<html>not found</html>")
    with pytest.raises(RunFailed, match=r"^1 of 1 images failed") as failed:
        cloud.extract(f"--input={cloud.bucket}/bad", f"--output={store}", "--max_failure_ratio=0.1")
    assert capsys.readouterr().err.splitlines()[0] == (
        "Job job-1 (https://console.cloud.google.com/dataflow/jobs/europe-west1/job-1?project=project) is submitted; "
        "`gcloud dataflow jobs cancel job-1 --project=project --region=europe-west1` cancels it."
    )
    _, picture = str(failed.value).splitlines()
    assert picture == f"  not_an_image  {cloud.bucket}/bad/page.jpg  The file is no image that Pillow knows."


def test_a_job_that_is_not_taken_fails_the_run_in_one_sentence(
    cloud: Cloud, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloud.api, "refusal", (403, "the API is not enabled"))
    with pytest.raises(RunFailed, match=r"^The run failed, and nothing of it is visible: 403 .*not enabled"):
        cloud.extract(f"--output={store}")


def test_an_api_that_no_longer_answers_may_have_a_job_that_goes_on(cloud: Cloud, tmp_path: Path) -> None:
    store = f"{cloud.bucket}/lost"
    cloud.api.held = True
    with pytest.raises(RunFailed) as lost:
        cloud.extract(f"--output={store}")
    cloud.api.held = False
    said = str(lost.value)
    assert said.startswith("Job job-1 (https://console.cloud.google.com/")
    assert "it may still be running, and commit; `python -m pipelines.inspect gs://" in said
    cloud.api.wait()
    assert comparable(store).num_rows == 5


def test_a_cancelled_job_fails_the_run_in_one_sentence(cloud: Cloud, store: str) -> None:
    from apache_beam.runners.dataflow.dataflow_runner import DataflowRuntimeException

    reported = DataflowRuntimeException("Dataflow pipeline failed. State: CANCELLED, Error:\nNone", None)
    with pytest.raises(RunFailed, match=r"State: CANCELLED$"), explained_failures():
        raise reported


def test_a_template_is_written_down_and_not_submitted(
    cloud: Cloud, store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    submitted = len(cloud.api.jobs)
    assert cloud.extract(f"--output={store}", f"--template_location={cloud.bucket}/template.json") == 0
    assert "The job is written down as a template" in capsys.readouterr().out
    assert len(cloud.api.jobs) == submitted
    with fsspec.open(f"{cloud.bucket}/template.json") as file:
        assert json.load(file)["environment"]["workerPools"]
