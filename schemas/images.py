"""`ImageRef`: an image to process, and how many of them travel together as Arrow.

A ref exists as a Python object only at the moment its image is fetched. Everywhere else refs are rows of Arrow record
batches of `REFS_PER_BATCH` rows: planning over millions of images never holds an object an image.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pyarrow as pa

from schemas.errors import FailureCode, ImageError

REFS_PER_BATCH: Final = 8192

SIZE: Final = "_size"
SUPERSEDES: Final = "_supersedes"
KNOWN_IN: Final = "_known_in"
GIVEN: Final = "_given"
PROBLEM: Final = "_problem"
PLACE: Final = "_place"
LOCATION: Final = "_location"

# `version` is null until it has been looked up; columns with an underscore do not reach the tables.
REF_SCHEMA: Final = pa.schema(
    [
        pa.field("uri", pa.string(), nullable=False),
        pa.field("version", pa.string()),
        pa.field("label", pa.string()),
        pa.field("split", pa.string()),
        pa.field(SIZE, pa.int64()),
        pa.field(SUPERSEDES, pa.bool_()),
        # The file of `features` whose row of the image is superseded, by its path under the table's folder.
        pa.field(KNOWN_IN, pa.string()),
        # The columns that the input has for the image, filled or not; see `schemas/annotations.py`.
        pa.field(GIVEN, pa.string()),
        pa.field(PROBLEM, pa.string()),
        # Where the bytes are in the archive, as `transforms/archives` writes it; null for a file of its own.
        pa.field(PLACE, pa.string()),
        # The URI with what signs it, by which it is fetched; null where that is `uri` itself.
        pa.field(LOCATION, pa.string()),
    ]
)


@dataclasses.dataclass(frozen=True, slots=True)
class ImageRef:
    """An image to process.

    Attributes:
        uri: Where it is, in canonical form.
        version: What changes when its bytes change: an etag, a generation, or size and mtime; empty where the input
            says nothing of it.
        size: Its bytes, where the listing has them.
        problem: Why no image can be there, where the listing has found that out.
        place: Where its bytes are in its archive, where it is a member of one and the listing has that.
        signed: The URI with what signs it, if it is signed or has a password; never written down, and never printed.
    """

    uri: str
    version: str
    size: int | None
    problem: str | None = None
    place: str | None = None
    signed: str | None = dataclasses.field(default=None, repr=False)

    @property
    def location(self) -> str:
        """Where it is fetched from."""
        return self.signed or self.uri

    def check(self) -> None:
        """Looks at what its listing has found out.

        Raises:
            ImageError: If no image can be there, or it may not be looked for.
        """
        if self.problem is not None:
            raise problem_error(self.problem)


def not_allowed(sentence: str) -> str:
    """Returns the problem of an image that may not be looked for."""
    return f"{FailureCode.NOT_ALLOWED}: {sentence}"


def problem_error(problem: str) -> ImageError:
    """Returns the error that a problem of a listing is: that the URI is none, unless another code is before it."""
    code, _, sentence = problem.partition(": ")
    if code == FailureCode.NOT_ALLOWED:
        return ImageError(FailureCode.NOT_ALLOWED, sentence)
    return ImageError(FailureCode.INVALID_URI, problem)


def image_refs(batch: pa.RecordBatch) -> Iterator[ImageRef]:
    """Yields the rows of a batch of refs."""
    columns = (batch.column(name).to_pylist() for name in ("uri", "version", SIZE, PROBLEM, PLACE, LOCATION))
    for values in zip(*columns, strict=True):
        yield ImageRef(*values)


def refs_of_uris(uris: pa.Array) -> pa.RecordBatch:
    """Returns refs of images of which nothing but where they are is known."""
    columns = {"uri": uris.cast(pa.string()), "version": pa.array([""] * len(uris))}
    return pa.RecordBatch.from_arrays(
        [columns.get(field.name, pa.nulls(len(uris), field.type)) for field in REF_SCHEMA], schema=REF_SCHEMA
    )


def listed_version(info: Mapping[str, Any]) -> str | None:
    """Returns the version by an entry of a listing; None if it has yet to be looked up, as where it has names alone."""
    return image_version(info) or (None if info.get("size") is None else "")


def image_version(info: Mapping[str, Any]) -> str:
    """Returns what identifies the bytes of a file, from what its file system says of it.

    Args:
        info: One entry of `fsspec`'s `ls(detail=True)` or `info`.

    Returns:
        The generation (GCS), the ETag (S3, Azure, HTTP), or size and modification time; empty if there is none of them.
    """
    for name in ("generation", "ETag", "etag"):
        if info.get(name):
            return str(info[name]).strip('"')
    names = ("mtime", "LastModified", "last_modified", "Last-Modified", "created")
    modified = next((info[name] for name in names if info.get(name)), None)
    if modified is None:
        return ""
    stamp = f"{modified:.6f}" if isinstance(modified, float) else str(modified)
    return f"{info.get('size')}-{stamp}"


def ref_schema(carried: pa.Schema | None = None) -> pa.Schema:
    """Returns the schema of refs that carry further columns of a manifest along."""
    return pa.schema([*REF_SCHEMA, *(carried or ())])
