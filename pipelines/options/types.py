"""The types of options: what a text has to look like, said once for the command line and for templates."""

import argparse
import codecs
import dataclasses
import datetime
import re
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from schemas.spec import PREPROCESS_PATTERN, PREPROCESSINGS, ConvBaseArg
from schemas.uris import unknown_source
from transforms.decoding import format_by_name

Value_co = TypeVar("Value_co", covariant=True)


@dataclasses.dataclass(frozen=True)
class OptionType(Generic[Value_co]):
    """Reads the text of an option, after it was checked against a pattern. What argparse takes as a `type`.

    Attributes:
        pattern: What the whole text has to match: an extended regular expression of POSIX, which Dataflow asks for.
        wanted: What a text that is refused is not, as in "'x' is not a whole number above 0".
        read: Reads a text that matches; raises `ValueError` or `OverflowError` for what a
            pattern cannot tell.
    """

    pattern: str
    wanted: str
    read: Callable[[str], Value_co]

    def __call__(self, text: str) -> Value_co:
        """Reads a text.

        Raises:
            argparse.ArgumentTypeError: If it is not what is wanted.
        """
        try:
            if re.fullmatch(self.pattern, text):
                return self.read(text)
        except (ValueError, OverflowError):
            pass
        raise argparse.ArgumentTypeError(f"'{text}' is not {self.wanted}")


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _lower_words(text: str) -> tuple[str, ...]:
    return tuple(word.lower().lstrip(".") for word in _words(text))


def _image_formats(text: str) -> tuple[str, ...]:
    try:
        return tuple(dict.fromkeys(format_by_name(word) for word in _words(text)))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _allowed_sources(text: str) -> tuple[str, ...]:
    strange = unknown_source(text)
    if strange is not None:
        raise argparse.ArgumentTypeError(
            f"'{strange}' names nothing that could be allowed: s3://bucket/, http://10.0.0.5:8000/, file:///data/, "
            "10.0.0.0/8, memory: and any are such names"
        )
    return _words(text)


def _shape(text: str) -> tuple[int, ...]:
    return tuple(int(side) for side in text.split(","))


def _name_and_value(text: str) -> tuple[str, ConvBaseArg]:
    name, _, value = text.partition("=")
    for convert in (int, float):
        try:
            return name, convert(value)
        except ValueError:
            continue
    return name, {"true": True, "false": False}.get(value.lower(), value)


def _is_true(text: str) -> bool:
    return text.lower() == "true"


def _ratio(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise ValueError(text)
    return value


def _distance(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 2:
        raise ValueError(text)
    return value


def _encoding(text: str) -> str:
    try:
        return codecs.lookup(text).name
    except LookupError as error:
        raise ValueError(text) from error


def _time_span(text: str) -> datetime.timedelta:
    unit = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}[text[-1]]
    span = datetime.timedelta(**{unit: int(text[:-1])})
    if span > _LONGEST:
        raise ValueError(text)
    return span


# Dates begin with the year 1: what is longer cannot be taken from a time of today.
_LONGEST: Final = datetime.timedelta(days=2000 * 365)

_WORDS: Final = "[^,]+(,[^,]+)*"

_ENCODINGS: Final = (
    "(utf|UTF)-?(8|16|32)(-?(le|be|LE|BE))?|latin-?1|(iso|ISO)-?8859-[0-9]{1,2}|(cp|windows-)[0-9]{3,4}|"
    "gbk|gb2312|gb18030|big5|shift_jis|euc[-_](jp|kr)|koi8-[ru]|mac-roman|ascii"
)

words: Final = OptionType(_WORDS, "made of words with commas between them", _words)
lower_words: Final = OptionType(_WORDS, words.wanted, _lower_words)
allowed_sources: Final = OptionType(_WORDS, words.wanted, _allowed_sources)
image_formats: Final = OptionType(_WORDS, words.wanted, _image_formats)
shape: Final = OptionType("[0-9]+(,[0-9]+)*", "height,width,3", _shape)
name_and_value: Final = OptionType("[^=]+=.*", "NAME=VALUE", _name_and_value)
preprocess: Final = OptionType(
    PREPROCESS_PATTERN,
    f"{', '.join(PREPROCESSINGS)}, mean=…,std=…, or scale=…,offset=…, with one or three numbers each",
    str,
)
true_or_false: Final = OptionType("[Tt]rue|[Ff]alse", "true or false", _is_true)
positive: Final = OptionType("0*[1-9][0-9]*", "a whole number above 0", int)
not_negative: Final = OptionType("[0-9]+", "a whole number, 0 or more", int)
number: Final = OptionType(r"[0-9]*\.?[0-9]+", "a number, 0 or more", float)
ratio: Final = OptionType(r"[0-9]*\.?[0-9]+([eE]-?[0-9]+)?", "between 0 and 1", _ratio)
crop_ratio: Final = OptionType(r"1(\.0*)?|0*\.[0-9]*[1-9][0-9]*", "above 0 and at most 1", float)
distance: Final = OptionType(r"[0-9]*\.?[0-9]+([eE]-?[0-9]+)?", "between 0 and 2", _distance)
text_encoding: Final = OptionType(_ENCODINGS, "an encoding such as utf-8, utf-16, latin-1 or cp1252", _encoding)
run_name: Final = OptionType("[A-Za-z0-9._-]+", "made of letters, digits, dots, dashes and underscores", str)
date: Final = OptionType("[0-9]{4}-[0-9]{2}-[0-9]{2}", "a date as 2026-01-31", datetime.date.fromisoformat)
duration: Final = OptionType("[1-9][0-9]*[smh]", "a time span as 90s, 30m or 2h", _time_span)
retention: Final = OptionType("[0-9]+[dh]", "a number of days or hours as 7d or 36h", _time_span)
age: Final = OptionType("[1-9][0-9]*[smhd]", "a time span as 90m, 26h or 2d", _time_span)
image_count: Final = OptionType("[0-9]+%?", "a number of images, or a percentage as 50%", str)
version: Final = OptionType("[0-9]+", "a version, which is a whole number", int)


def add_flag(
    options: "argparse.ArgumentParser | argparse._ArgumentGroup", name: str, meaning: str, default: bool | None = None
) -> None:
    """Adds an option that is given alone, or as `name=true` or `name=false`, the only form that a template knows."""
    options.add_argument(
        name, nargs="?", const=True, default=default, type=true_or_false, metavar="true|false", help=meaning
    )
