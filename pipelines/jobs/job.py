"""An extraction as a job: made of a command's options, then run to its row in `runs`."""

import argparse
import dataclasses
import datetime
import functools
import json
import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
from deltalake.exceptions import DeltaError

from pipelines.jobs.inputs import updated_columns
from pipelines.jobs.visibility import adoptable, true_end, visible_part
from pipelines.monitoring import log_begin, log_failure, log_row
from pipelines.options import decoding_limits
from pipelines.runners import (
    beam_options,
    decoders_a_process,
    explained_failures,
    is_template,
    new_pipeline,
    on_worker_start,
    recorded_options,
    runner_name,
    shown_progress,
    spill_folder,
    threads_a_process,
    worker_start,
)
from schemas.delta import paths_of
from schemas.errors import ConvbaseError, RunFailed
from schemas.fragments import remove_receipts
from schemas.storage import Storage, without_secrets
from schemas.store import FeatureStore, Run, RunState, new_run_id
from transforms.conv_bases import EngineName, choose_engine, default_batch_size
from transforms.extraction import Extraction, Reuse
from transforms.machine import fastest_settings
from transforms.planning import RetryFailures, Snapshot
from transforms.runtime import package_versions
from transforms.sources import ListingRules, Source

if TYPE_CHECKING:
    from apache_beam import Pipeline
    from apache_beam.options.pipeline_options import PipelineOptions

_PACKAGES: Final = ("apache-beam", "convbase", "deltalake", "keras", "numpy", "openvino", "pandas", "pillow", "pyarrow")


@dataclasses.dataclass(frozen=True)
class Job:
    """Everything that an extraction needs to know.

    Attributes:
        sources: Where the images are.
        rules: How the sources are read.
        store: Where the features go.
        run: The run.
        retry: Which known failures are tried again.
        annotations: The columns in which known images are brought up to date with the input.
        shard_size: Images a shard.
        extraction: What workers need to know.
        options: Beam's options.
        worker_start_timeout: How long workers elsewhere may take to start.
    """

    sources: Sequence[Source]
    rules: ListingRules
    store: FeatureStore
    run: Run
    retry: RetryFailures
    annotations: Sequence[str]
    shard_size: int
    extraction: Extraction
    options: "PipelineOptions"
    worker_start_timeout: datetime.timedelta


def new_job(
    given: argparse.Namespace,
    sources: Sequence[Source],
    rules: ListingRules,
    store: FeatureStore,
    beam_arguments: Sequence[str],
    *,
    refresh: str | None = None,
) -> Job:
    """Returns a job that begins now, and sees to it that the store has the columns that it carries along.

    Args:
        given: The command's options.
        sources: Where the images are.
        rules: How the sources are read.
        store: Where the features go.
        beam_arguments: Beam's own arguments, checked.
        refresh: The refresh of which the run is an attempt, if it is one: every image is then computed again, also
            those that failed.

    Raises:
        InvalidInput: If a carried column is in the store with another type.
        InvalidSpec: If a carried column has a name that is taken.
    """
    rules = dataclasses.replace(rules, carried=store.carry(rules.carried))
    options = beam_options(beam_arguments)
    engine = choose_engine(given.engine, store.spec)
    fastest = fastest_settings(store, engine) if given.tune else None
    run = _new_run(given, engine, runner_name(options), recorded_options(options), refresh)
    return Job(
        sources=sources,
        rules=rules,
        store=store,
        run=run,
        retry=RetryFailures(given.retry_failures) if refresh is None else RetryFailures.ALL,
        annotations=updated_columns(given, sources, rules),
        shard_size=given.shard_size,
        extraction=Extraction(
            output_uri=store.uri,
            spec=store.spec,
            schema=pa.schema(store.features().schema()),
            run_id=run.run_id,
            ds=run.ds,
            engine=engine,
            batch_size=given.batch_size or (fastest.batch_size if fastest else default_batch_size(engine)),
            limits=decoding_limits(given),
            max_bytes=given.max_bytes,
            storage=Storage(given.storage),
            reach=rules.reach,
            reuse=Reuse(given.reuse) if refresh is None else Reuse.NONE,
            update_labels=given.update_labels,
            threads=given.threads or threads_a_process(options),
            streams=given.streams or (fastest.streams if fastest else None),
            decode_processes=decoders_a_process(options) if given.decode_processes is None else given.decode_processes,
            deadline=run.started_at + given.time_budget if given.time_budget is not None else None,
            attempt=run.attempt,
        ),
        options=options,
        worker_start_timeout=given.worker_start_timeout,
    )


def _new_run(
    given: argparse.Namespace,
    engine: EngineName,
    runner: str,
    beam_options: Mapping[str, object],
    refresh: str | None,
) -> Run:
    """Returns a run that begins now; for the record, with the options that were given, Beam's own among them."""
    now = datetime.datetime.now(datetime.UTC)
    own = {name: value for name, value in vars(given).items() if value is not None}
    recorded = json.dumps({**beam_options, **own}, default=str)
    return Run(
        run_id=given.run_id or new_run_id(now),
        ds=given.ds or now.date(),
        started_at=now,
        max_failure_ratio=given.max_failure_ratio,
        runner=runner,
        engine=engine,
        options=json.loads(without_secrets(recorded)),
        versions=package_versions(_PACKAGES),
        refresh=refresh,
    )


def run_job(job: Job) -> Mapping[str, Any] | None:
    """Runs a job to its end, logs that, and returns its row in `runs`; None if it is a template, which others run.

    Raises:
        RunFailed: If it cannot be completed.
        RunInterrupted: If a signal ends it.
    """
    log_begin(job.run.run_id, job.run.ds, job.store.uri)
    try:
        row = _run_to_its_end(job)
    except (ConvbaseError, DeltaError, OSError) as error:
        log_failure(job.run.run_id, error)
        raise
    if row is not None:
        log_row(row)
    return row


def _run_to_its_end(job: Job) -> Mapping[str, Any] | None:
    visible = functools.partial(visible_part, job.store, job.run)
    look = f"`python -m pipelines.inspect {shlex.quote(job.store.uri)} --runs`"
    with true_end(job.run.run_id, visible, functools.partial(adoptable, job.store, job.run), look):
        with shown_progress(), explained_failures(visible, look):
            extract(job)
        return _recorded_row(job)
    return _recorded_row(job)


def _recorded_row(job: Job) -> Mapping[str, Any] | None:
    """Returns the row of a job that has ended, and removes its receipts; None if it is a template."""
    if is_template(job.options):
        return None
    row = job.store.find_run(job.run.run_id, job.run.started_at)
    if row is None:
        raise RunFailed(f"The pipeline ended, but {job.store.uri}/runs has no row for the run {job.run.run_id}.")
    if row["state"] == RunState.COMPLETE:
        remove_receipts(job.store.uri, job.run.run_id, paths_of(job.store.features()))
    return row


def extract(job: Job) -> None:
    """Runs the pipeline of an extraction.

    Raises:
        RuntimeError: If a worker fails for good.
    """
    start = worker_start(job.options, job.worker_start_timeout, job.store.uri, job.run.run_id)
    with spill_folder(job.options) as spill, new_pipeline(job.options, start) as root:
        wire(root, job, spill)


def wire(root: "Pipeline", job: Job, spill: str | None = None) -> None:
    """Adds the steps of an extraction to a pipeline.

    Args:
        root: The pipeline.
        job: The extraction.
        spill: A folder for image refs, where all workers are on this machine.
    """
    import apache_beam as beam

    from transforms.extraction.beam import AdoptFinished, CommitRun, ExtractFeatures, UpdateAnnotations
    from transforms.planning.beam import MakeShards, SkipExtracted
    from transforms.shuffle.beam import Spread
    from transforms.sources.beam import ListImages

    snapshot = Snapshot.newest(job.store)
    on_start = on_worker_start(job.options, job.store.uri, job.run.run_id)
    plan = (
        root
        | ListImages(job.sources, job.rules, on_start)  # refs and counts
        | SkipExtracted(  # those not in the table yet
            snapshot, job.retry, job.run.refresh, job.annotations, spill_folder=spill
        )
    )
    computed = (
        plan
        | MakeShards(job.shard_size)  # shards of refs
        | "Reshuffle" >> Spread(spill)
        | ExtractFeatures(job.extraction, job.store.conv_base())  # results: fragments, already Parquet
    )
    adopted = plan.finished | AdoptFinished(job.extraction)  # those of runs that were killed
    updated = plan.updates | UpdateAnnotations(job.extraction)  # files of known images whose labels have changed
    (computed, adopted) | "Results" >> beam.Flatten() | CommitRun(snapshot, job.run, plan.counts, updated)
