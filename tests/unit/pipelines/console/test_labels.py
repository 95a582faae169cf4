"""What an extraction says of labels: a line or two, and a sentence for what is odd."""

import pytest

from pipelines.console.extraction import label_lines, label_warnings
from schemas.store import LabelCounts


def test_classes_and_splits_are_a_line_each() -> None:
    counts = LabelCounts(classes={"cat": 1200, "dog": 3}, splits={"test": 2, "train": 1000, "validation": 201})
    assert list(label_lines(counts)) == [
        "  classes                cat 1,200, dog 3",
        "  splits                 train 1,000, validation 201, test 2",
    ]
    assert list(label_lines(LabelCounts(unlabelled=7))) == []


def test_many_classes_stay_a_line() -> None:
    (line,) = label_lines(LabelCounts(classes={f"{'x' * 100} {number}": 2 for number in range(1000)}))
    assert line.endswith("xxx… 2, and 988 further classes")
    assert len(line) < 700
    captions = LabelCounts(classes={f"{number}": 2 for number in range(1000)}, of_further_classes=5)
    assert next(label_lines(captions)).endswith(", and 988 or more further classes")


@pytest.mark.parametrize(
    ("counts", "sentence"),
    [
        (LabelCounts(classes={"cat": 2, "dog": 2}), None),
        (LabelCounts(unlabelled=2, folders=("photos",)), None),
        (
            LabelCounts(unlabelled=2, folders=("cats", "dogs")),
            (
                "no image has a label, and the folders have names (cats, dogs): --labels_from=parent takes them as "
                "labels, of images that are in the store already too."
            ),
        ),
        (
            LabelCounts(classes={"cat": 2, "dog": 1}),
            "the class 'dog' has only one image: a class needs one to train on and one to validate.",
        ),
        (
            LabelCounts(classes={"cat": 2, "a": 1, "b": 1, "c": 1, "d": 1}),
            (
                "4 classes ('a', 'b', 'c' and 1 more) have only one image: a class needs one to train on and one to "
                "validate."
            ),
        ),
        (
            LabelCounts(classes={"cat": 2}, contradictions=1234, contradicted=("/a (cat, dog)", "/b (cat, cow)")),
            (
                "1,234 images are in the input with several labels, such as /a (cat, dog); /b (cat, cow): one of "
                "them was taken."
            ),
        ),
        (
            LabelCounts(classes={"Big Cat": 2, "bigcat": 2, "dog": 2}),
            "the labels 'Big Cat', 'bigcat' differ only by blanks or case, and are classes of their own.",
        ),
        (
            LabelCounts(classes={"caf\u00e9": 2, "cafe\u0301": 2}),
            (
                "the labels 'cafe\u0301', 'caf\u00e9' differ only in how their accents are written, and are classes of "
                "their own."
            ),
        ),
        (
            LabelCounts(classes={"cat": 2, "NaN": 2}),
            "'NaN' is taken as a label; an image without one has an empty cell.",
        ),
    ],
)
def test_what_is_odd_is_a_sentence(counts: LabelCounts, sentence: str | None) -> None:
    assert list(label_warnings(counts)) == ([] if sentence is None else [f"Warning: {sentence}"])
