"""What a worker says for users comes through as it was said, by whatever runner."""

import pytest

from pipelines.runners import explained_failures
from schemas.errors import ConvbaseError, InputNotFound, InvalidInput, RunFailed

TRACEBACK = "Traceback (most recent call last):\n  File 'x.py', line 1, in process\n{}\n"
STEPS = " [while running 'ListImages/List-ptransform-33'] [while running 'Flatten']"


@pytest.mark.parametrize("kind", [InvalidInput, InputNotFound, RunFailed])
@pytest.mark.parametrize("raised_again", [True, False])
def test_a_sentence_of_a_worker_is_the_sentence_of_the_command(kind: type[ConvbaseError], raised_again: bool) -> None:
    said = "The manifest m.csv has the split 'x' for a.jpg; a split is train, validation or test."
    text = TRACEBACK.format(f"schemas.errors.{kind.__name__}: {said}{STEPS}")
    error = kind(said + STEPS) if raised_again else RuntimeError(text)
    with pytest.raises(InvalidInput if kind is InputNotFound else kind) as caught, explained_failures():
        raise error
    assert str(caught.value) == said


def test_of_other_errors_the_step_is_told() -> None:
    with pytest.raises(RunFailed) as caught, explained_failures():
        raise RuntimeError(TRACEBACK.format(f"KeyError: 'a'{STEPS}"))
    assert "in step" in str(caught.value)
    assert "KeyError: 'a'" in str(caught.value)
