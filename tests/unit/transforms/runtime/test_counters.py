"""The images of a shard count while they pass; those of a shard that fails do not count."""

from collections.abc import Iterator

import pytest

from transforms.runtime import PROGRESS, ShardProgress, progress_of_processes, shard_progress


@pytest.fixture(autouse=True)
def at_nothing() -> Iterator[None]:
    PROGRESS.reset()
    yield
    PROGRESS.reset()


def test_images_count_while_they_pass_and_are_what_they_are_in_the_end() -> None:
    with progress_of_processes() as progress, shard_progress() as shard:
        shard.add(extracted=5)
        assert (progress().extracted, progress().done) == (5, 5)
        shard.settle(extracted=4, failed=2)
        assert (progress().extracted, progress().failed) == (4, 2)


def test_of_a_shard_that_fails_none_count() -> None:
    def fail(shard: ShardProgress) -> None:
        shard.add(extracted=5, failed=1)
        assert progress().done == 6
        raise OSError("full")

    with progress_of_processes() as progress:
        with pytest.raises(OSError, match="full"), shard_progress() as shard:
            fail(shard)
        assert progress().done == 0


def test_the_stage_is_that_of_the_process_that_shows_it() -> None:
    with progress_of_processes() as progress:
        PROGRESS.stage = "epoch 1 of 2"
        PROGRESS.add(passes=3)
        assert (progress().stage, progress().passes) == ("epoch 1 of 2", 3)
