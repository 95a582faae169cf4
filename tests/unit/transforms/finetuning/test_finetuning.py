"""Fine-tuning itself: it goes on as if it had not been stopped, and pictures that are gone end it in one sentence."""

import errno
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from schemas.augmentation import Augmentation
from schemas.classifiers import FineTuning, Split, SplitFractions
from schemas.errors import FailureCode, ImageError, RunFailed
from schemas.images import ImageRef
from tests.conftest import write_pictures
from tests.unit.transforms.finetuning.test_unfreezing import SMALL_SPEC, network_on
from transforms.decoding import DecodingRules
from transforms.finetuning import (
    Checkpoint,
    FineTuned,
    LabelledPictures,
    Pictures,
    TrainableNetwork,
    fine_tune,
    list_images,
    open_network,
    read_pictures,
    unfreeze,
)
from transforms.images import LoadingPools, LoadingRules, fetch_image, fetching
from transforms.sources import ListingRules, carried_columns, find_sources
from transforms.training import SplitBy, read_labelled_images

COUNTS = {"train": 6, "validation": 3, "test": 1}
RULES = LoadingRules(DecodingRules(height=32, width=32), max_bytes=10**6, batch_size=4)
POOLS = LoadingPools.start(2)
HOW = FineTuning(
    "conv_dw_3", optimizer="adam", learning_rate=0.01, warmup_epochs=1, decay="cosine", epochs=3, batch_size=4,
    augmentation=Augmentation(), seed=7,
)  # fmt: skip

Fetch = Callable[[ImageRef, int], bytes]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 pictures of two classes in three splits, and a network; do not change it."""
    folder = tmp_path_factory.mktemp("finetuning")
    for seed, (split, count) in enumerate(COUNTS.items()):
        for number, name in enumerate(("cat", "dog")):
            write_pictures(folder / "pictures" / split / name, count, seed=10 * seed + number)
    network_on(SMALL_SPEC, folder)
    return folder


def network_in(folder: Path) -> TrainableNetwork:
    network = open_network(folder / "end_to_end.keras")
    unfreeze(network, HOW.unfreeze_from)
    return network


def read(pictures: Path, memory_bytes: int) -> Pictures:
    refs = list_images(find_sources([str(pictures)]), ListingRules(labels_from_parent=True))
    return read_pictures(refs, RULES, POOLS, memory_bytes, max_failure_ratio=0.5)


def labelled(pictures: Pictures) -> LabelledPictures:
    table = pa.Table.from_batches([pictures.refs])
    return LabelledPictures(pictures, read_labelled_images(table, "label", SplitBy.COLUMN, SplitFractions(), None))


def outcome(network: TrainableNetwork, tuned: FineTuned) -> tuple[object, list[bytes]]:
    return tuned.history, [np.array(value).tobytes() for value in network.model.trainable_variables]


def epoch_of(data: LabelledPictures, epoch: int, augmentation: Augmentation | None, seed: int = 0) -> list[bytes]:
    batches = data.training_epoch(epoch, 4, augmentation, None, seed)
    return [picture.tobytes() for pixels, _, _ in batches.as_numpy_iterator() for picture in pixels]


def test_each_epoch_sees_other_copies_in_another_order_and_always_the_same_ones(folder: Path) -> None:
    data = labelled(read(folder / "pictures", 10**9))
    first, second = (epoch_of(data, epoch, Augmentation()) for epoch in (1, 2))
    assert len({*first, *second}) == 24
    assert first == epoch_of(data, 1, Augmentation())
    assert {*first}.isdisjoint(epoch_of(data, 1, Augmentation(seed=1)))
    orders = [epoch_of(data, epoch, None, seed) for epoch, seed in ((1, 0), (2, 0), (1, 1))]
    assert len({tuple(order) for order in orders}) == 3
    held = data.pictures.held
    assert held is not None
    assert all({*order} == {held[number].tobytes() for number in data.numbers(Split.TRAIN)} for order in orders)


@pytest.mark.parametrize("stop", [1, 2])
def test_a_fine_tuning_goes_on_as_if_it_had_not_been_stopped(stop: int, folder: Path, tmp_path: Path) -> None:
    """After an epoch of the warm-up, and after one of the decay."""
    data = labelled(read(folder / "pictures", 10**9))
    whole = network_in(folder)
    rates: list[float] = []

    def note(state: Checkpoint) -> None:
        rates.append(float(whole.model.optimizer.learning_rate))

    expected = outcome(whole, fine_tune(whole, HOW, data, None, note))
    assert rates == pytest.approx([0.01, 0.005, 0], abs=1e-6)

    def save(state: Checkpoint) -> None:
        state.save(str(tmp_path))
        if state.epochs == stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fine_tune(network_in(folder), HOW, data, None, save)
    network, state = network_in(folder), Checkpoint.find(str(tmp_path), {})
    assert state is not None
    assert state.epochs == stop
    assert outcome(network, fine_tune(network, HOW, data, state, lambda _: None)) == expected


GONE = {
    "The images cannot be read: .*Too many open files": OSError(errno.EMFILE, "Too many open files"),
    r"of (6|12) images cannot be used, more than --max_failure_ratio=0\.5 allows; the first is file://.*: Not there": (
        ImageError(FailureCode.NOT_FOUND, "Not there.")
    ),
}


@pytest.mark.parametrize("fetches", [0, 6])
@pytest.mark.parametrize("sentence", GONE)
def test_pictures_that_are_gone_end_it_in_one_sentence(
    sentence: str, fetches: int, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """They are gone before the six of the validation split are read first, or after that."""
    data = labelled(read(folder / "pictures", memory_bytes=0))
    network, left = network_in(folder), iter(range(fetches))

    def fetch(ref: ImageRef, *limits: Any) -> bytes:
        if next(left, None) is None:
            raise GONE[sentence]
        return fetch_image(ref, *limits)

    monkeypatch.setattr(fetching, "fetch_image", fetch)
    with pytest.raises(RunFailed, match=sentence) as caught:
        fine_tune(network, HOW, data, None, lambda _: None)
    assert caught.value.exit_code == 1
    assert "\n" not in str(caught.value)
    assert "Traceback" not in capfd.readouterr().err


def test_a_picture_that_is_gone_is_left_out_and_told_once(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder / "pictures", tmp_path / "pictures"))
    pictures = read(copy, memory_bytes=0)
    gone = copy / "train" / "cat" / "001.jpg"
    gone.unlink()
    everything = np.arange(len(pictures))
    for _ in range(2):
        found = np.concatenate([numbers for _, numbers in pictures.batches(everything, 8)])
        assert len(found) == len(pictures) - 1
    assert [image.uri for image in pictures.left_out] == [gone.as_uri()]


def test_a_share_of_bad_pictures_that_is_allowed_is_not_too_large_by_rounding(tmp_path: Path) -> None:
    """0.29 times 100 is less than 29."""
    write_pictures(tmp_path, 71)
    for number in range(29):
        (tmp_path / f"bad-{number}.jpg").write_bytes(b"no picture")
    refs = list_images(find_sources([str(tmp_path)]), ListingRules())
    pictures = read_pictures(refs, RULES, POOLS, 0, max_failure_ratio=0.29)
    assert (len(pictures), len(pictures.left_out)) == (71, 29)
    with pytest.raises(RunFailed, match="29 of 100 images cannot be used"):
        read_pictures(refs, RULES, POOLS, 0, max_failure_ratio=0.28)


def test_columns_that_pictures_have_of_their_own_are_not_taken_from_a_manifest(folder: Path, tmp_path: Path) -> None:
    picture = folder / "pictures" / "test" / "cat" / "000.jpg"
    (tmp_path / "m.csv").write_text(f"uri,label,split,sha256,augmentation,by\n{picture},cat,test,none,strong,me\n")
    sources = find_sources([f"{tmp_path}/m.csv"])
    refs = list_images(sources, ListingRules(carried=carried_columns(sources)))
    pictures = read_pictures(refs, RULES, POOLS, 0, max_failure_ratio=0)
    assert "augmentation" not in pictures.refs.schema.names
    assert pictures.refs.column("by").to_pylist() == ["me"]
    assert len(pictures.refs.column("sha256")[0].as_py()) == 64
