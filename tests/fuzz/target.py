"""`Target`: something that is fuzzed."""

import dataclasses
from collections.abc import Callable, Mapping
from random import Random
from typing import Final, Generic, TypeVar

from schemas.errors import ConvbaseError, first_line

T = TypeVar("T")

_MOST_CHARACTERS: Final = 2000


@dataclasses.dataclass(frozen=True)
class Target(Generic[T]):
    """Something that takes inputs of strangers.

    Attributes:
        draw: Makes an input from chance alone.
        check: Tries an input, and raises if what its docstring says does not hold; returns a word for what happened.
        corpus: Inputs that are tried first, by name: hostile ones of each kind, and every one that ever failed.
        inputs: How many inputs one is: files that are decoded together, for example.
    """

    draw: Callable[[Random], T]
    check: Callable[[T], str]
    corpus: Mapping[str, T]
    inputs: int = 1

    def input(self, seed: int, number: int) -> T:
        """Returns an input by its number: the first are the corpus, and the others are drawn, each by itself."""
        known = list(self.corpus.values())
        return known[number] if number < len(known) else self.draw(Random(f"{seed}/{number}"))


def refusal(error: Exception) -> str:
    """Returns what happened to an input that was refused: by one sentence."""
    sentence = first_line(error)
    assert sentence.strip()
    assert len(sentence) < _MOST_CHARACTERS
    assert sentence == str(error) or not isinstance(error, ConvbaseError), "It has several lines."
    return type(error).__name__
