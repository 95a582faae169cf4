"""The job that Dataflow would be given: its steps, what crosses its shuffles, its options."""

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
from pipelines.runners import beam_options
from schemas.errors import UsageError
from schemas.store import FeatureStore
from tests.conftest import SMALL_BASE, extract, write_pictures

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
