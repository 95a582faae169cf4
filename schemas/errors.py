"""What can go wrong, one class a kind of error, one sentence each.

Five families, distinguished by what happens next:

- `UsageError`: the command line, the input or the spec is wrong. Nothing has been done; exit code 2.
- `RunFailed`: the run began and could not be completed. A table has all of its rows or none; exit code 1.
- `RunStopped`: the run's time was up. Nothing of it is visible yet, and the next run goes on from it; exit code 3.
- `RunInterrupted`: a signal ended the run; exit code 130 or 143.
- `ImageError`: one image is bad. It becomes a row in `failures`; the run goes on.

Everything else (`MemoryError`, a full disk, a bug) is not caught: the runner retries it or the run fails.
"""

import difflib
import enum
import re
import signal
from collections.abc import Iterable
from typing import Final

from schemas.uris import without_secrets

_COLOURS: Final = re.compile(r"\x1b\[[0-9;]*m")
_ERROR_NUMBER: Final = re.compile(r"\[[Ee]rrno -?\d+\] ")
# OWASP, "CSV Injection".
_BEGINS_A_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
_NUMBER: Final = re.compile(r"[+-]?[0-9]*\.?[0-9]+([eE][+-]?[0-9]+)?")
_CAUSE: Final = "\u21b3"


class ConvbaseError(Exception):
    """An error that the user reads as one sentence, in which URLs have no secrets."""

    exit_code = 1

    def __init__(self, message: str = "") -> None:
        super().__init__(without_secrets(message))


class UsageError(ConvbaseError):
    """The command cannot start as it was given."""

    exit_code = 2


class InvalidSpec(UsageError):
    """A field of the feature spec has a value that no conv base takes."""


class SpecMismatch(UsageError):
    """The store holds features of another spec."""


class InvalidInput(UsageError):
    """An `--input` cannot be read, or holds no image."""


class InputNotFound(InvalidInput):
    """There is nothing at all where an `--input` should be."""


class StoreNotFound(UsageError):
    """There is no feature store where one was expected."""


class StoreNotWritable(UsageError):
    """The store's folder cannot be written."""


class StoreUnreachable(UsageError):
    """The storage of a store cannot be reached: there is no such bucket, or nobody who may ask for it."""


class UnsupportedTable(UsageError):
    """A table asks of its readers or writers what this package does not do, or names files beyond its folder."""


class WeightsUnavailable(UsageError):
    """The weights cannot be fetched, or do not fit the conv base."""


class InvalidLabels(UsageError):
    """The labels, or the parts into which they are split, are none that a classifier can be trained or judged on."""


class InvalidFeatures(UsageError):
    """The features are none that a classifier can be trained on."""


class InvalidRecipe(UsageError):
    """A recipe, or a sweep over one, has a value that no classifier takes."""


class ModelNotFound(UsageError):
    """There is no classifier where one was expected."""


class ModelNotWritable(UsageError):
    """The classifier's folder cannot be written."""


class RunFailed(ConvbaseError):
    """The run could not be completed; where something of it is visible all the same, the message says so."""


class OutputNotWritten(ConvbaseError):
    """A run is complete, but a file that shows what it made cannot be written."""


class DriftFound(ConvbaseError):
    """Images differ more from those before them than was allowed."""


class ImagesMissing(ConvbaseError):
    """Fewer images came than were expected, or none for longer than was allowed; what came is in the store."""

    exit_code = 4


class DamagedFile(RunFailed):
    """A file of a table cannot be read, though its storage answers.

    Attributes:
        how: What is wrong with it.
    """

    def __init__(self, file_uri: str, how: str) -> None:
        super().__init__(
            f"{file_uri} is damaged: {how}. `pipelines.maintain STORE check --deep` names every damaged file; with "
            "--repair it takes them out, and the next run computes their rows again."
        )
        self.file_uri = file_uri
        self.how = how

    def __reduce__(self) -> tuple[type["DamagedFile"], tuple[str, str]]:
        return type(self), (self.file_uri, self.how)


class DamagedModel(RunFailed):
    """A file of a classifier is not the one that was written with it."""

    def __init__(self, file_uri: str, how: str) -> None:
        super().__init__(
            f"{file_uri} is not the file that was published with its classifier: {how}. If the classifier was replaced "
            "meanwhile, start again; else put the file back from a copy, or train again with --overwrite."
        )
        self.file_uri = file_uri
        self.how = how

    def __reduce__(self) -> tuple[type["DamagedModel"], tuple[str, str]]:
        return type(self), (self.file_uri, self.how)


class RunStopped(ConvbaseError):
    """The run stopped between shards because its time was up; nothing of it is visible, the next goes on from it."""

    exit_code = 3


class RunInterrupted(ConvbaseError):
    """A signal ended the run.

    Attributes:
        exit_code: 128 and the signal's number, as a shell has it.
    """

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + number

    @classmethod
    def by(cls, interruption: KeyboardInterrupt, message: str) -> "RunInterrupted":
        """Returns the error of what a signal raised; see `pipelines.options.run_main`."""
        return cls(message, *(interruption.args or (signal.SIGINT,)))


class FailureCode(enum.StrEnum):
    """Why an image has no features. The codes are stable: alerts and queries may rely on them.

    Attributes:
        stage: `fetch` (the bytes could not be had), `decode` (the bytes are no picture that we take) or `compute` (the
            conv base makes no features of it).
        permanent: Whether only another version of the image can change the result. Permanent failures are not tried
            again until the image changes; the others are tried again by the next run.
    """

    stage: str
    permanent: bool

    def __new__(cls, code: str, stage: str, permanent: bool) -> "FailureCode":
        """Makes a member of its code, stage and permanence."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.stage = stage
        member.permanent = permanent
        return member

    @classmethod
    def from_code(cls, code: str) -> "FailureCode":
        """Returns the member of a code, as it stands in a table.

        Raises:
            KeyError: If there is none.
        """
        return cls[code.upper()]

    INVALID_URI = "invalid_uri", "fetch", True
    UNKNOWN_PROTOCOL = "unknown_protocol", "fetch", False
    PACKAGE_MISSING = "package_missing", "fetch", False
    NOT_FOUND = "not_found", "fetch", True
    NOT_ALLOWED = "not_allowed", "fetch", False
    NO_CREDENTIALS = "no_credentials", "fetch", False
    PERMISSION_DENIED = "permission_denied", "fetch", False
    UNKNOWN_HOST = "unknown_host", "fetch", False
    CONNECTION_REFUSED = "connection_refused", "fetch", False
    TLS_ERROR = "tls_error", "fetch", False
    TOO_MANY_REDIRECTS = "too_many_redirects", "fetch", False
    TOO_MANY_REQUESTS = "too_many_requests", "fetch", False
    SERVER_ERROR = "server_error", "fetch", False
    TIMEOUT = "timeout", "fetch", False
    UNREADABLE = "unreadable", "fetch", False
    DAMAGED_ARCHIVE = "damaged_archive", "fetch", False
    TOO_MANY_BYTES = "too_many_bytes", "fetch", True
    EMPTY_FILE = "empty_file", "decode", True
    NOT_AN_IMAGE = "not_an_image", "decode", True
    UNSUPPORTED_FORMAT = "unsupported_format", "decode", True
    DECODER_MISSING = "decoder_missing", "decode", False
    UNSUPPORTED_PIXELS = "unsupported_pixels", "decode", True
    TOO_MANY_PIXELS = "too_many_pixels", "decode", True
    TOO_MUCH_METADATA = "too_much_metadata", "decode", True
    DECODER_TIMEOUT = "decoder_timeout", "decode", True
    DECODER_OUT_OF_MEMORY = "decoder_out_of_memory", "decode", True
    DECODER_CRASHED = "decoder_crashed", "decode", False
    NOT_FINITE = "not_finite", "compute", True
    TRUNCATED = "truncated", "decode", True
    DECODER_ERROR = "decoder_error", "decode", True


class ImageError(Exception):
    """One image cannot be processed.

    Attributes:
        code: Why, as a stable code.
        message: Why, as a sentence for people.
    """

    def __init__(self, code: FailureCode, message: str) -> None:
        self.code = code
        self.message = without_secrets(message)
        super().__init__(self.message)

    def __reduce__(self) -> tuple[type["ImageError"], tuple[FailureCode, str]]:
        return type(self), (self.code, self.message)


class DamagedArchive(ImageError):
    """An archive, or a member of one, cannot be read, though its storage answers."""

    @classmethod
    def of(cls, how: str) -> "DamagedArchive":
        """Returns the error that says what is wrong with it."""
        return cls(FailureCode.DAMAGED_ARCHIVE, f"The archive is damaged: {how}.")


def first_line(error: BaseException) -> str:
    """Returns the first line of an error's message, and behind it the causes that `deltalake` lists below it.

    The number that the system gives to an error is left out, as its name stands beside it.

    >>> first_line(FileNotFoundError(2, "No such file or directory", "cat.jpg"))
    "No such file or directory: 'cat.jpg'"
    >>> first_line(OSError("Failed to open local file 'cats.csv'. Detail: [errno 2] No such file or directory"))
    "Failed to open local file 'cats.csv'. Detail: No such file or directory"
    """
    text = _ERROR_NUMBER.sub("", _COLOURS.sub("", without_secrets(str(error))))
    first, *below = text.strip().splitlines() or [""]
    causes = [line.strip() for line in below if line.strip().startswith(_CAUSE)]
    return ": ".join([first, *(cause.removeprefix(_CAUSE).strip() for cause in causes)])


def printable(text: str) -> str:
    r"""Returns a text with whatever is no printable character written as Python writes it.

    A name of a file, or a label, may hold what clears a terminal, or a newline that begins a line of its own.

    >>> printable("cat\n\x1b[2J")
    'cat\\n\\x1b[2J'
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def spreadsheet_text(text: str) -> str:
    """Returns a text that a spreadsheet takes for one when it opens a CSV, and for no formula; numbers stay numbers.

    >>> spreadsheet_text("=cmd|' /C calc'!A0"), spreadsheet_text("-1.5"), spreadsheet_text("cat")
    ("'=cmd|' /C calc'!A0", '-1.5', 'cat')
    """
    if not text.startswith(_BEGINS_A_FORMULA) or _NUMBER.fullmatch(text):
        return text
    return f"'{text}"


def shown(text: str, most: int = 80) -> str:
    """Returns a text on one line, without secrets, its middle left out where it has more than `most` characters."""
    line = printable(without_secrets(text))
    return line if len(line) <= most else f"{line[: most // 2]}…{line[-(most // 2) :]}"


def shown_names(names: Iterable[str], most: int = 6) -> str:
    """Returns names with commas between them, those after the first `most` as their number."""
    listed = [shown(name, 24) for name in names]
    rest = len(listed) - most
    return ", ".join(listed if rest <= 0 else [*listed[:most], f"and {rest} more"])


def with_count(count: int, one: str, many: str | None = None) -> str:
    """Returns a count with its noun.

    >>> with_count(1, "file"), with_count(2000, "file"), with_count(2, "index", "indexes")
    ('1 file', '2,000 files', '2 indexes')
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def nearest_names(name: str, known: Iterable[str]) -> str:
    """Returns `"; did you mean 'a' or 'b'?"` for the known names that look like `name`, or an empty string."""
    by_folded = {candidate.casefold(): candidate for candidate in known}
    matches = difflib.get_close_matches(name.casefold(), by_folded, n=3, cutoff=0.5)
    if not matches:
        return ""
    return "; did you mean " + " or ".join(f"'{by_folded[match]}'" for match in matches) + "?"
