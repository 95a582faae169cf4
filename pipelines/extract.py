"""python -m pipelines.extract: image URIs in, a committed feature table out.

    python -m pipelines.extract --runner=DirectRunner
    python -m pipelines.extract --input=photos/ --labels_from=parent --conv_base=VGG16 --output=store

Without --input it draws sample pictures and computes their features with random weights, offline.
Exit codes: 0 done; 1 the run failed, nothing of it is visible; 2 the command cannot start as it was given; 3 its
--time_budget was used up, nothing of it is visible, and the next run goes on from there.
"""

import argparse
import dataclasses
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from pipelines.options import (
    Parser,
    add_decoding_options,
    add_run_options,
    add_source_options,
    add_spec_options,
    run_main,
)
from pipelines.preparation import (
    DEFAULT_STORE,
    asked_spec,
    find_images,
    new_run,
    new_spec,
    open_or_create_store,
)
from pipelines.progress import shown_progress
from pipelines.runners import explained_failures, find_runner, parse_command, recorded_options, runner_name
from pipelines.summary import planned_text, summary_text, write_summary
from schemas.errors import RunFailed, RunStopped
from schemas.receipts import remove_receipts
from schemas.runs import Run, RunState
from schemas.store import FeatureStore
from schemas.tables import check_carried
from transforms.extraction import Extraction
from transforms.planning import RetryFailures, Snapshot
from transforms.publishing import prepare_conv_base
from transforms.sources import ListingRules, Source

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions


def parser() -> argparse.ArgumentParser:
    """Returns the command's parser."""
    command = Parser("pipelines.extract", __doc__.partition("\n")[2].strip(), "Beam's own options pass through.")
    add_source_options(command)
    add_spec_options(command)
    add_decoding_options(command)
    add_run_options(command)
    return command


def main(arguments: Sequence[str]) -> int:
    """Runs the command and returns its exit code.

    Raises:
        ConvbaseError: If it cannot start, or the run fails.
    """
    given, options = parse_command(parser(), arguments)
    sources, rules = find_images(given)
    check_carried(given.layers or (), rules.carried)
    if given.dry_run:
        print(dry_run(given, sources, rules))
        return 0
    store = open_or_create_store(given)
    store.carry(rules.carried)
    run = new_run(given, runner_name(options), recorded_options(options))
    job = Job(
        sources=sources,
        rules=rules,
        store=store,
        run=run,
        retry=RetryFailures(given.retry_failures),
        shard_size=given.shard_size,
        extraction=Extraction(
            store_uri=store.uri,
            spec=store.spec,
            schema=pa.schema(store.features().schema()),
            run_id=run.run_id,
            ds=run.ds,
            batch_size=given.batch_size,
            formats=given.formats,
            max_pixels=given.max_pixels,
            max_bytes=given.max_bytes,
            decode_threads=os.cpu_count() or 1,
            deadline=run.started_at + given.time_budget if given.time_budget else None,
        ),
    )
    try:
        with shown_progress(), explained_failures():
            extract(job, options)
    finally:
        row = store.find_run(run.run_id)
        if row and given.summary:
            write_summary(given.summary, row)
    if row is None:
        raise RunFailed(f"The pipeline ended, but {store.uri}/runs has no row for the run {run.run_id}.")
    if row["state"] == RunState.STOPPED:
        raise RunStopped(row["message"])
    remove_receipts(store.uri, run.run_id, store.features_paths())
    print(summary_text(row, store))
    return 0


@dataclasses.dataclass(frozen=True)
class Job:
    """Everything that an extraction needs to know.

    Attributes:
        sources: Where the images are.
        rules: How the sources are read.
        store: Where the features go.
        run: The run.
        retry: Which known failures are tried again.
        shard_size: Images a shard.
        extraction: What workers need to know.
    """

    sources: Sequence[Source]
    rules: ListingRules
    store: FeatureStore
    run: Run
    retry: RetryFailures
    shard_size: int
    extraction: Extraction


def extract(job: Job, options: "PipelineOptions") -> None:
    """Runs an extraction to its end.

    Args:
        job: What to do.
        options: Beam's options.

    Raises:
        RuntimeError: If a worker fails for good.
    """
    import apache_beam as beam

    from transforms.steps import (
        AdoptFinished,
        BeginInTime,
        CommitRun,
        ExtractFeatures,
        ListImages,
        MakeShards,
        SkipExtracted,
    )

    snapshot = Snapshot.newest(job.store)
    with beam.Pipeline(runner=find_runner(options), options=options) as root:
        plan = (
            root
            | ListImages(job.sources, job.rules)  # refs and counts
            | SkipExtracted(snapshot, job.retry)  # those not in the table yet
        )
        begun = (
            plan
            | MakeShards(job.shard_size)  # shards of refs
            | beam.Reshuffle()
            | BeginInTime(job.extraction.deadline)
        )
        computed = begun.refs | ExtractFeatures(job.extraction, job.store.conv_base_uri)  # fragments, already Parquet
        adopted = plan.finished | AdoptFinished(job.store.uri, job.run.run_id)  # those of runs that were killed
        counts = (plan.counts, begun.counts) | "Counts" >> beam.Flatten()
        (computed, adopted) | "Fragments" >> beam.Flatten() | CommitRun(snapshot, job.run, counts)


def dry_run(given: argparse.Namespace, sources: Sequence[Source], rules: ListingRules) -> str:
    """Plans without doing anything, and returns what would be done."""
    import apache_beam as beam
    from apache_beam.runners.portability.fn_api_runner import FnApiRunner

    from transforms.steps import METRICS, ListImages, MakeShards, SkipExtracted

    store = FeatureStore.find(given.output or DEFAULT_STORE)
    if store is not None:
        store.refuse_other_spec(asked_spec(given))
        spec = store.spec
    else:
        with tempfile.TemporaryDirectory() as folder:
            spec = prepare_conv_base(new_spec(given), Path(folder)).spec
    root = beam.Pipeline(runner=FnApiRunner())
    retry = RetryFailures(given.retry_failures)
    snapshot = Snapshot.newest(store) if store else None
    root | ListImages(sources, rules) | SkipExtracted(snapshot, retry) | MakeShards(given.shard_size)
    with explained_failures():
        metrics = root.run().metrics().query()["counters"]
    counts = {metric.key.metric.name: metric.committed for metric in metrics if metric.key.metric.namespace == METRICS}
    return planned_text(counts, spec)


if __name__ == "__main__":
    run_main(main)
