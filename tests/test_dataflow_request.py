"""The request for a job that Dataflow's API would be sent, as Beam's own client writes it down; nothing is sent."""

import json
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.portability import common_urns
from apache_beam.portability.api import beam_runner_api_pb2

from pipelines import extract as extract_command
from pipelines import runners
from tests.conftest import SMALL_BASE, write_pictures

pytest.importorskip("google.cloud.dataflow_v1beta3", reason="needs google-cloud-dataflow-client")

IMAGE = "registry/convbase:1"


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], beam_runner_api_pb2.Pipeline]:
    """The request, and the pipeline that is staged beside it; a folder stands for the bucket."""
    folder = tmp_path_factory.mktemp("bucket")
    write_pictures(folder / "pictures", 2)
    (folder / "staging").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runners, "refuse_local_places", lambda _: None)
        code = extract_command.main([
            f"--input={folder}/pictures", f"--output={folder}/store", *SMALL_BASE, "--runner=DataflowRunner",
            "--project=project", "--region=europe-west1", "--temp_location=gs://bucket/temp",
            f"--staging_location={folder}/staging", f"--template_location={folder}/job.json", "--no_auth",
            "--dataflow_endpoint=http://localhost:1", f"--sdk_container_image={IMAGE}", "--sdk_location=container",
            "--resource_hint=min_ram=8GB", "--resource_hint=accelerator=type:nvidia-l4;count:1;install-nvidia-driver",
        ])  # fmt: skip
    assert code == 0
    staged = (folder / "staging" / "pipeline.pb").read_bytes()
    return json.loads((folder / "job.json").read_text()), beam_runner_api_pb2.Pipeline.FromString(staged)


def test_a_machine_has_one_process_two_shards_at_once_and_as_many_as_the_throughput_asks(asked: Any) -> None:
    environment = asked[0]["environment"]
    (pool,) = environment["workerPools"]
    options = environment["sdkPipelineOptions"]["options"]
    assert "no_use_multiple_sdk_containers" in environment["experiments"]
    assert "use_multiple_sdk_containers" not in environment["experiments"]
    assert options["number_of_worker_harness_threads"] == 2
    assert pool["autoscalingSettings"]["algorithm"] == "AUTOSCALING_ALGORITHM_BASIC"
    assert not options["save_main_session"]


def test_workers_run_our_image_and_nothing_of_ours_is_staged(asked: Any) -> None:
    (pool,) = asked[0]["environment"]["workerPools"]
    assert {image["containerImage"] for image in pool["sdkHarnessContainerImages"]} == {IMAGE}
    assert [package["name"] for package in pool["packages"]] == ["submission_environment_dependencies.txt"]


def test_resource_hints_are_in_it(asked: Any) -> None:
    hints = [dict(environment.resource_hints) for environment in asked[1].components.environments.values()]
    assert {
        common_urns.resource_hints.MIN_RAM_BYTES.urn: b"8000000000",
        common_urns.resource_hints.ACCELERATOR.urn: b"type:nvidia-l4;count:1;install-nvidia-driver",
    } in hints


def test_shards_cross_the_fusion_break_as_arrow(asked: Any) -> None:
    components = asked[1].components
    (reshuffle,) = [each for each in components.transforms.values() if each.unique_name == "Reshuffle"]
    (shards,) = reshuffle.inputs.values()
    assert b"RecordBatchCoder$" in components.coders[components.pcollections[shards].coder_id].spec.payload


def test_beam_writes_its_own_version(asked: Any) -> None:
    assert asked[0]["environment"]["userAgent"]["version"] == beam.__version__
