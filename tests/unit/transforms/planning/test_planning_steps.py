"""The Beam transforms plan what the pure functions plan, by way of files or of the engine's shuffles."""

from pathlib import Path

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that, equal_to

from schemas.fragments import TableName
from schemas.store import FeatureStore, InputCounts
from tests.support.fragments import SPEC, failures, fragment
from transforms.planning import RetryFailures, Snapshot, known_images
from transforms.planning.beam import MakeShards, SkipExtracted
from transforms.shuffle.beam import Spread
from transforms.shuffle.coder import RecordBatchCoder
from transforms.sources import ListingRules, find_sources
from transforms.sources.beam import ListImages

# Nothing answers there: whoever asked the storage for one of these would wait, and fail.
NAMES = [f"s3://nowhere.invalid/{number:02}.jpg" for number in range(40)]


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    """Holds 00 to 09 in two fragments, 05 to 09 of an older version; 10 failed for good."""
    store = FeatureStore.create(str(tmp_path / "store"), SPEC)
    same, older = fragment(store, dict.fromkeys(NAMES[:5], 1.0)), fragment(store, dict.fromkeys(NAMES[5:10], 1.0), "0")
    store.commit_fragments(TableName.FEATURES, "1", [same, older])
    store.commit_fragments(TableName.FAILURES, "1", [failures(store, NAMES[10:11])])
    return store


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Mentions 00 to 39, the last ten of them twice."""
    names = [*NAMES, *NAMES[30:]]
    pq.write_table(pa.table({"uri": names, "version": ["1"] * len(names)}), tmp_path / "m.parquet", row_group_size=8)
    return tmp_path / "m.parquet"


@pytest.mark.parametrize("spilled", [True, False])
def test_a_plan_is_the_same_by_way_of_files_or_shuffles(
    spilled: bool, store: FeatureStore, manifest: Path, tmp_path: Path
) -> None:
    (tmp_path / "spill").mkdir()
    folder = str(tmp_path / "spill") if spilled else None
    with beam.Pipeline(runner=FnApiRunner()) as root:
        plan = (
            root
            | ListImages(find_sources([str(manifest)]), ListingRules(rows_per_section=16))
            | SkipExtracted(Snapshot.newest(store), RetryFailures.TRANSIENT, spill_folder=folder, known_rows_together=5)
        )
        shards = plan | MakeShards(10) | Spread(folder)
        counts = plan.counts | beam.CombineGlobally(lambda parts: sum(parts, InputCounts()))
        images = shards | beam.FlatMap(lambda shard: shard.to_pylist())
        images |= beam.Map(lambda image: (image["uri"], bool(image["_supersedes"])))
        assert_that(shards | beam.Map(len), equal_to([10, 10, 10, 4]), "shards")
        assert_that(images, equal_to([(uri, uri in NAMES[5:10]) for uri in (*NAMES[5:10], *NAMES[11:])]), "images")
        assert_that(counts, equal_to([InputCounts(listed=40, skipped=6, duplicates=10)]), "counts")
    assert bool(list((tmp_path / "spill").iterdir())) == spilled


def test_batches_that_cross_a_shuffle_are_packed(manifest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[int] = []

    def count(coder: RecordBatchCoder, batch: pa.RecordBatch, encode=RecordBatchCoder.encode) -> bytes:  # type: ignore[no-untyped-def]
        encoded.append(batch.num_rows)
        return encode(coder, batch)

    monkeypatch.setattr(RecordBatchCoder, "encode", count)
    with beam.Pipeline(runner=FnApiRunner()) as root:
        listing = root | ListImages(find_sources([str(manifest)]), ListingRules())
        listing | SkipExtracted(None, RetryFailures.TRANSIENT)
    assert sum(encoded) >= 50


def test_several_rows_of_an_image_are_known_once() -> None:
    batch = pa.RecordBatch.from_pydict({"uri": list("aabbb"), "version": list("11122")})
    assert known_images.without_repeats(batch).to_pylist() == [
        {"uri": "a", "version": "1"}, {"uri": "b", "version": "1"}, {"uri": "b", "version": "2"},
    ]  # fmt: skip
