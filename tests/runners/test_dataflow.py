"""The job that Dataflow would be given: its steps, what crosses its shuffles, its options."""

import sys
import time
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import DebugOptions, SetupOptions, WorkerOptions
from apache_beam.pipeline import AppliedPTransform, PipelineVisitor
from apache_beam.portability import common_urns

from pipelines import extract as extract_command
from pipelines.jobs import Job, find_images, new_job
from pipelines.jobs.job import wire
from pipelines.runners import beam_options, dataflow
from schemas.errors import UsageError
from schemas.store import FeatureStore
from tests.conftest import SMALL_BASE, Run, extract, write_pictures

DATAFLOW = ("--runner=DataflowRunner", "--sdk_container_image=registry/convbase:1")
# A running job is updated, and its metrics compared with last month's, by the names of its steps.
STEPS = [
    "AdoptFinished", "CommitRun", "ExtractFeatures", "ListImages", "MakeShards", "Reshuffle", "Results",
    "SkipExtracted", "UpdateAnnotations",
]  # fmt: skip
# What may cross a shuffle or reach every worker: refs, descriptions of fragments, and sums; no pixels, no features.
SMALL = {
    "RecordBatch",
    "InputCounts",
    "ShardResult",
    "FileUpdate",
    "FolderSource",
    "SourcePart",
    "KnownFiles",
    "Snapshot",
    "Run",
    "int",
    "str",
    "NoneType",
    "Timestamp",
    "PaneInfo",
}


class Shuffles(PipelineVisitor):
    """Collects the types of what goes into shuffles and side inputs."""

    def __init__(self) -> None:
        self.types: dict[str, Any] = {}

    def visit_transform(self, transform_node: AppliedPTransform) -> None:
        if isinstance(transform_node.transform, beam.GroupByKey):
            self.types[transform_node.full_label] = transform_node.inputs[0].element_type
        for number, side in enumerate(transform_node.side_inputs):
            self.types[f"{transform_node.full_label} {number}"] = side.pvalue.element_type

    def enter_composite_transform(self, transform_node: AppliedPTransform) -> None:
        if isinstance(transform_node.transform, beam.Reshuffle):
            self.types[transform_node.full_label] = transform_node.inputs[0].element_type


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("job")
    write_pictures(folder / "pictures", 2)
    extract(f"--input={folder}/pictures", f"--output={folder}/store", *SMALL_BASE)
    return folder / "store"


def a_job(store: Path, *options: str) -> Job:
    given = extract_command.parser().parse_args([f"--input={store.parent}/pictures", f"--output={store}"])
    sources, rules = find_images(given)
    return new_job(given, sources, rules, FeatureStore.open(str(store)), [*DATAFLOW, *options])


def wired(job: Job) -> beam.Pipeline:
    root = beam.Pipeline(runner="FnApiRunner", options=job.options)
    wire(root, job)
    return root


def names_in(kind: object) -> set[str]:
    """The names of the types that a type hint is made of."""
    inner = getattr(kind, "tuple_types", None) or getattr(kind, "union_types", None)
    if inner is None and hasattr(kind, "inner_type"):
        inner = (kind.inner_type,)
    return set().union(*map(names_in, inner)) if inner else {getattr(kind, "__name__", str(kind))}


def test_steps_have_stable_names(store: Path) -> None:
    proto = wired(a_job(store)).to_runner_api()
    (root,) = (proto.components.transforms[name] for name in proto.root_transform_ids)
    names = [proto.components.transforms[name].unique_name for name in root.subtransforms]
    assert sorted(names) == STEPS


def test_only_refs_fragments_and_sums_cross_shuffles(store: Path) -> None:
    shuffles = Shuffles()
    wired(a_job(store)).visit(shuffles)
    assert len(shuffles.types) > 8
    crossing = {label: names_in(kind) for label, kind in shuffles.types.items()}
    assert {label: names for label, names in crossing.items() if not names <= SMALL} == {}


def test_resource_hints_reach_the_workers_environment(store: Path) -> None:
    proto = wired(a_job(store, "--resource_hint=min_ram=8GB")).to_runner_api()
    hints = [dict(environment.resource_hints) for environment in proto.components.environments.values()]
    assert {common_urns.resource_hints.MIN_RAM_BYTES.urn: b"8000000000"} in hints


def test_dataflow_has_one_process_a_machine_and_two_shards_at_once() -> None:
    options = beam_options(DATAFLOW)
    assert options.view_as(DebugOptions).experiments == ["no_use_multiple_sdk_containers"]
    assert options.view_as(DebugOptions).number_of_worker_harness_threads == 2
    assert options.view_as(WorkerOptions).autoscaling_algorithm == "THROUGHPUT_BASED"
    assert not options.view_as(SetupOptions).save_main_session


def test_what_is_given_is_kept() -> None:
    options = beam_options([
        *DATAFLOW, "--experiments=use_multiple_sdk_containers", "--number_of_worker_harness_threads=5",
        "--autoscaling_algorithm=NONE",
    ])  # fmt: skip
    assert options.view_as(DebugOptions).experiments == ["use_multiple_sdk_containers"]
    assert options.view_as(DebugOptions).number_of_worker_harness_threads == 5
    assert options.view_as(WorkerOptions).autoscaling_algorithm == "NONE"


def test_other_runners_have_no_such_defaults() -> None:
    options = beam_options(["--runner=FlinkRunner"])
    assert not options.view_as(DebugOptions).experiments
    assert options.view_as(DebugOptions).number_of_worker_harness_threads is None


@pytest.mark.parametrize("spelling", ["DataflowRunner", "dataflow"])
def test_a_job_whose_workers_would_lack_the_code_is_refused(spelling: str) -> None:
    with pytest.raises(UsageError, match="DataflowRunner needs --sdk_container_image=IMAGE"):
        extract_command.main([f"--runner={spelling}", "--input=gs://bucket/images", "--output=gs://bucket/store"])


@pytest.mark.parametrize(
    ("places", "complaint"),
    [
        (("--input=gs://b/images", "--output=store"), "--output=store is on this machine"),
        (("--input=gs://b/images", "--output=file:///data/store"), "--output=file:///data/store is on this machine"),
        (("--input=photos/", "--output=gs://b/store"), "--input=photos/ is on this machine"),
        (("--input=gs://b/1", "--input=zip://*.jpg::file:///a.zip", "--output=gs://b/store"), "--input=zip://"),
        (("--input=gs://b/images",), "DataflowRunner needs --input and --output in a bucket"),
        (("--output=gs://b/store",), "DataflowRunner needs --input and --output in a bucket"),
    ],
)  # fmt: skip
def test_places_that_workers_do_not_see_are_refused(places: tuple[str, ...], complaint: str) -> None:
    with pytest.raises(UsageError) as refused:
        extract_command.main([*DATAFLOW, *places])
    assert str(refused.value).startswith(complaint)
    assert refused.value.exit_code == 2


BUCKETS = ("--input=gs://convbase-nowhere/images", "--output=gs://convbase-nowhere/store")
PLACED = ("--project=project", "--region=europe-west1")


@pytest.mark.parametrize(
    ("given", "needed"),
    [
        ((), "--project=… and --region=…"),
        (PLACED[:1], "--region=…"),
        (PLACED[1:], "--project=…"),
    ],
)
def test_a_job_has_a_project_and_a_region(given: tuple[str, ...], needed: str) -> None:
    with pytest.raises(UsageError, match=f"^DataflowRunner needs {needed}: whose job it is, and where it runs.$"):
        extract_command.main([*DATAFLOW, *BUCKETS, *given])


def test_a_package_that_is_missing_is_told_before_anything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "apache_beam.runners.dataflow.internal.apiclient", raising=False)
    monkeypatch.delattr("google.cloud.dataflow", raising=False)
    monkeypatch.setitem(sys.modules, "google.cloud.dataflow", None)
    with pytest.raises(UsageError, match=r"needs packages that are not installed here \(.*dataflow.*\); the extra"):
        extract_command.main([*DATAFLOW, *BUCKETS, *PLACED])


def test_a_file_system_of_beams_that_is_missing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apache_beam.io.aws.s3filesystem", None)
    with pytest.raises(UsageError, match=r"^Beam's file system of s3:// is not installed"):
        extract_command.main(["--temp_location=s3://bucket/temp"])


def test_without_credentials_a_sentence_comes_in_ten_seconds(run: Run, tmp_path: Path) -> None:
    alone = {"HOME": str(tmp_path), "CLOUDSDK_CONFIG": str(tmp_path), "GOOGLE_APPLICATION_CREDENTIALS": ""}
    began = time.monotonic()
    done = run("extract", *DATAFLOW, *BUCKETS, *PLACED, **alone)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: DataflowRunner needs credentials for Google Cloud: ")
    assert "`gcloud auth application-default login` makes some" in line
    # What it takes to import Beam and Google's packages included.
    assert time.monotonic() - began < 30


def test_nobody_waits_for_a_metadata_server_that_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("google.auth.default", lambda **_: time.sleep(5))
    monkeypatch.setattr(dataflow, "_SECONDS_FOR_CREDENTIALS", 0.1)
    with pytest.raises(UsageError, match=r"needs credentials for Google Cloud: none were found in 0 seconds\."):
        extract_command.main([*DATAFLOW, *BUCKETS, *PLACED])
