"""`Source`: what an `--input` is. Every kind of source is one small class, in a module of its own.

A source is divided into parts without being read whole, and a part is listed as image refs; both happen in workers.
The bytes of an image are where its URI says, whatever source has named it: `image_file` opens it. Pure of Beam.
"""

import abc
import dataclasses
from collections.abc import Iterator
from typing import Final

import pyarrow as pa

from schemas.images import ref_schema
from schemas.storage import Reach, Storage
from schemas.uris import ANY, AllowedSources
from transforms.folders import FollowLinks, IgnoredFiles, Selection
from transforms.manifests import BYTES_PER_SECTION, ROWS_PER_SECTION, Manifest, carried_fields_of

# Enough for every worker, few enough to be found by one.
FOLDERS_LISTED_TOGETHER: Final = 64
ENTRIES_LISTED_TOGETHER: Final = 2**13
# A manifest by itself: its own storage, public addresses, and from this machine its files and buckets.
DEFAULT_REACH: Final = Reach(AllowedSources())
EXTENSIONS: Final = ("jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "heic", "heif", "avif")


@dataclasses.dataclass(frozen=True)
class ListingRules:
    """How a source is read.

    Attributes:
        extensions: The extensions, in lower case and without a dot, of the files that a folder's images have.
        labels_from_parent: Whether an image without a label takes the name of its folder, and the folder above it as
            the split, if that has a split's name; see `annotations.parent_annotations`.
        stat_manifests: Whether images of a manifest without a `version` column are looked up for their version.
        carried: The fields of all columns that are carried along, over all sources.
        include_hidden: Whether hidden files and folders, and those of file managers, are listed too.
        exclude: Globs of files and folders that are left out: of their names, or of their paths under the input.
        storage: What reads inputs and images in buckets.
        folders_listed_together: Folders of a bucket are divided level by level until there are so many, which workers
            then share.
        entries_listed_together: Folders of a disk are listed together until they have so many files.
        rows_per_section: Row groups of a Parquet manifest are taken together until they have so many rows.
        bytes_per_section: The bytes of a list of URIs that are read together.
        reach: Where manifests may point, and how long looking an image up may take.
        follow_links: Where the links in a folder may lead.
    """

    extensions: tuple[str, ...] = EXTENSIONS
    labels_from_parent: bool = False
    stat_manifests: bool = True
    carried: tuple[pa.Field, ...] = ()
    include_hidden: bool = False
    exclude: tuple[str, ...] = ()
    storage: Storage = Storage.OBSTORE
    folders_listed_together: int = FOLDERS_LISTED_TOGETHER
    entries_listed_together: int = ENTRIES_LISTED_TOGETHER
    rows_per_section: int = ROWS_PER_SECTION
    bytes_per_section: int = BYTES_PER_SECTION
    reach: Reach = DEFAULT_REACH
    follow_links: FollowLinks = FollowLinks.BESIDE

    @property
    def allowed(self) -> AllowedSources:
        """Where manifests may point."""
        return self.reach.allowed or AllowedSources(named=(ANY,))

    @property
    def schema(self) -> pa.Schema:
        """The schema of the refs."""
        return ref_schema(pa.schema(self.carried))

    def selection(self, pattern: str | None = None) -> Selection:
        """Returns which files of a folder are images: by their extensions, or by a glob of their paths."""
        return Selection(self.extensions, self.include_hidden, self.exclude, pattern)


class SourcePart(abc.ABC):
    """A part of a source, to be listed by itself. Parts travel to workers."""

    @abc.abstractmethod
    def refs(self, rules: ListingRules, ignored: IgnoredFiles, /) -> Iterator[pa.RecordBatch]:
        """Yields batches of refs by `rules.schema`; `version` is null where it has yet to be looked up.

        Args:
            rules: How the source is read.
            ignored: Where the files are counted that are ignored.

        Raises:
            InvalidInput: If a manifest or a folder cannot be read.
            OSError: If a folder cannot be listed: a listing with holes would pass for the whole.
        """


class Source(abc.ABC):
    """One `--input`, looked at but not read.

    Attributes:
        uri: The folder, glob, file or manifest, in canonical form.
        carried: The fields of the further columns of a manifest, with the types that the store gives them.
    """

    uri: str

    @property
    def manifests(self) -> tuple[Manifest, ...]:
        """The tables that say something of its images."""
        return ()

    @property
    def carried(self) -> tuple[pa.Field, ...]:
        """The fields of columns that it carries along: those of its tables, some perhaps of several."""
        return tuple(carried_fields_of(column for manifest in self.manifests for column in manifest.columns))

    @property
    def annotations(self) -> tuple[str, ...]:
        """The columns of annotations that it may have."""
        return ()

    @abc.abstractmethod
    def divide(self, rules: ListingRules, ignored: IgnoredFiles, /) -> Iterator[SourcePart]:
        """Divides it into parts, without reading it whole.

        Args:
            rules: How it is read.
            ignored: Where the files are counted that are ignored.

        Raises:
            InvalidInput: If it cannot be read.
            OSError: If a folder cannot be listed.
        """

    def has_image(self, rules: ListingRules, /) -> bool:
        """Whether it holds at least one image; stops at the first.

        Raises:
            InvalidInput: If it cannot be read.
            OSError: If a folder cannot be listed.
        """
        ignored = IgnoredFiles()
        return any(batch.num_rows for part in self.divide(rules, ignored) for batch in part.refs(rules, ignored))

    @abc.abstractmethod
    def without_image(self, rules: ListingRules, /) -> str:
        """Returns the sentence that says that it holds no image, and what would be one."""
