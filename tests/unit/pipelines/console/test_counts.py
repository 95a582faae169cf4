"""What there is one of is said in the singular."""

import pytest

from pipelines.console.extraction import label_warnings
from pipelines.console.finetuning import left_out_lines
from pipelines.console.training import leak_lines, left_out_text, match_lines
from schemas.errors import FailureCode, ImageError
from schemas.store import LabelCounts
from transforms.exploration import Leaks
from transforms.finetuning import LeftOut
from transforms.training import LabelMatches


@pytest.mark.parametrize(
    ("leaks", "beginning"),
    [
        (Leaks(identical=1, near=None), "Leaks: 1 image of the validation and test splits has identical content, in"),
        (Leaks(identical=2, near=None), "Leaks: 2 images of the validation and test splits have identical content, in"),
        (
            Leaks(identical=0, near=1),
            "Leaks: 1 image of the validation and test splits has near-duplicates, or identical content (0 of these), ",
        ),
    ],
)
def test_leaks(leaks: Leaks, beginning: str) -> None:
    (line,) = leak_lines(leaks, "store")
    assert line.startswith(beginning)


def test_images_that_are_left_out() -> None:
    assert left_out_text(1, 2) == "Left out: 1 image without a label, 2 without a split."
    assert left_out_text(1200, 0) == "Left out: 1,200 images without a label, 0 without a split."
    one = LeftOut("a.jpg", ImageError(FailureCode.EMPTY_FILE, "It has no bytes."))
    assert left_out_lines([one])[0] == "Left out: 1 unreadable image."
    assert left_out_lines([one, one])[0] == "Left out: 2 unreadable images."


def test_images_without_a_row_in_a_label_file() -> None:
    (line,) = match_lines(LabelMatches("labels.csv", 5, 0, 1, None))
    assert line.endswith("; 1 image has no row in it.")


def test_images_with_several_labels() -> None:
    counts = LabelCounts(classes={"cat": 2, "dog": 2}, contradictions=1, contradicted=("a.jpg (cat, dog)",))
    (line,) = label_warnings(counts)
    assert line.startswith("Warning: 1 image is in the input with several labels, such as a.jpg (cat, dog)")
