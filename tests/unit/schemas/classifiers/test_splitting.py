"""Splits: an image never changes sides, whatever happens to the table around it."""

import hashlib
import math

import numpy as np
import pyarrow as pa
import pytest

from schemas.classifiers import (
    Split,
    SplitFractions,
    canonical_splits,
    splits_by_column,
    splits_by_hash,
    trains_by_default,
)
from schemas.errors import InvalidLabels

IMAGES = 20_000
HASHES = pa.array([hashlib.sha256(str(number).encode()).hexdigest() for number in range(IMAGES)])


@pytest.mark.parametrize(("validation", "test"), [(0.2, 0.2), (0.1, 0.3), (0.05, 0.0), (0.0, 0.5)])
def test_the_parts_have_the_shares_that_were_asked_for(validation: float, test: float) -> None:
    splits = splits_by_hash(HASHES, SplitFractions(validation, test))
    shares = [np.mean(splits == split) for split in (Split.TRAIN, Split.VALIDATION, Split.TEST)]
    np.testing.assert_allclose(shares, [1 - validation - test, validation, test], atol=0.01)


def test_an_image_stays_in_its_part_when_the_table_grows_or_is_reordered() -> None:
    splits = splits_by_hash(HASHES, SplitFractions())
    np.testing.assert_array_equal(splits_by_hash(HASHES.slice(0, 100), SplitFractions()), splits[:100])
    order = np.random.default_rng(0).permutation(IMAGES)
    np.testing.assert_array_equal(splits_by_hash(HASHES.take(pa.array(order)), SplitFractions()), splits[order])


def test_the_parts_of_known_pictures() -> None:
    """These never change: a release that moved them would leak test images into the training split."""
    hashes = pa.array(["00000000" + "0" * 56, "33333332" + "0" * 56, "33333334" + "0" * 56, "66666667" + "0" * 56])
    splits = [Split(value) for value in splits_by_hash(hashes, SplitFractions(0.2, 0.2))]
    assert splits == [Split.TEST, Split.TEST, Split.VALIDATION, Split.TRAIN]


def test_another_validation_fraction_leaves_the_test_part_as_it_was() -> None:
    first, second = (splits_by_hash(HASHES, SplitFractions(validation, 0.2)) for validation in (0.1, 0.3))
    np.testing.assert_array_equal(first == Split.TEST, second == Split.TEST)
    assert not ((first == Split.VALIDATION) & (second != Split.VALIDATION)).any()


def test_the_same_bytes_are_in_one_part_under_every_name() -> None:
    twice = pa.concat_arrays([HASHES, HASHES])
    splits = splits_by_hash(twice, SplitFractions())
    np.testing.assert_array_equal(splits[:IMAGES], splits[IMAGES:])


def test_a_table_without_rows_has_no_parts() -> None:
    assert splits_by_hash(pa.array([], pa.string()), SplitFractions()).shape == (0,)


def test_the_column_split_is_read_word_by_word() -> None:
    words = pa.array(["train", None, "test", "validation"])
    assert splits_by_column(words).tolist() == [Split.TRAIN, Split.LEFT_OUT, Split.TEST, Split.VALIDATION]


def test_an_unknown_word_in_the_column_is_refused() -> None:
    with pytest.raises(InvalidLabels, match="The column split holds 'holdout'; it takes train, validation and test"):
        splits_by_column(pa.array(["train", "holdout"]))


@pytest.mark.parametrize(
    ("split", "words"),
    [
        (Split.TRAIN, ["train", "Training", " TRAIN "]),
        (Split.VALIDATION, ["validation", "valid", "Val", "dev"]),
        (Split.TEST, ["test", "testing", "EVAL", "evaluation\t"]),
    ],
)
def test_a_split_has_several_spellings_and_one_name(split: Split, words: list[str]) -> None:
    assert set(canonical_splits(pa.array(words)).to_pylist()) == {split.word}
    assert set(splits_by_column(pa.array(words)).tolist()) == {split}
    assert {trains_by_default(word, HASHES[0].as_py()) for word in words} == {split == Split.TRAIN}


def test_a_blank_split_is_none_and_another_word_stays() -> None:
    assert canonical_splits(pa.array(["", "  ", None, "Holdout"])).to_pylist() == [None, None, None, "Holdout"]
    assert trains_by_default(" ", "f" * 64) == trains_by_default(None, "f" * 64)


@pytest.mark.parametrize(
    ("validation", "test", "sentence"),
    [
        (-0.1, 0.2, "are at least 0"),
        (0.2, -0.1, "are at least 0"),
        (math.nan, 0.2, "are at least 0"),
        (0.2, math.nan, "are at least 0"),
        (0.5, 0.5, "--validation_fraction=0.5 and --test_fraction=0.5 leave nothing to train"),
        (1.5, 0.0, "leave nothing to train"),
    ],
)
def test_fractions_that_make_no_sense_are_refused(validation: float, test: float, sentence: str) -> None:
    with pytest.raises(InvalidLabels, match=sentence):
        SplitFractions(validation, test)
