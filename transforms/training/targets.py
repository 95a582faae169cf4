"""Labelling: the target and the split of every image of a table, from its columns or from a file of labels.

Only codes are kept, fourteen bytes a row: nothing here grows with the length of a URI. An image has one row, or further
ones of augmented copies of its picture. These train, and neither validate nor test: an image's rows are never on two
sides.
"""

import dataclasses
import enum
from collections.abc import Collection, Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.classifiers import (
    SPLITS,
    UNLABELLED,
    Duplicates,
    LabelKind,
    LabelSet,
    Split,
    SplitFractions,
    hash_places,
    splits_by_column,
    splits_by_place,
)
from schemas.delta import Scan
from schemas.errors import InvalidLabels, with_count
from schemas.tables import AUGMENTATION, has_augmentations
from transforms.sources import bare_labels
from transforms.training.label_file import LabelFile, LabelMatches, MatchCounter


class SplitBy(enum.StrEnum):
    """What decides the split of an image."""

    AUTO = "auto"
    COLUMN = "column"
    HASH = "hash"


@dataclasses.dataclass(frozen=True)
class LabelledImages:
    """The target and the split of every row of a snapshot, in the order of its scans.

    Attributes:
        labels: The classes.
        targets: int32 [n], or int8 [n, classes] for multi-label; see `LabelSet.targets`.
        splits: uint8 [n] of `Split`; `LEFT_OUT` for rows without a label or a split, and for augmented copies of what
            does not train.
        are_images: bool [n], whether a row is that of an image itself, and not of an augmented copy.
        places: uint64 [n], the first bits of the SHA-256 of the image's bytes, which its copies share.
        split_by: What decided the splits.
        unlabelled: Images without a label.
        unsplit: Images with a label and without a split.
        matches: How the label file and the table fit together, if there is a file.
        lacking_elsewhere: Images that are left out as another store, with which this one is compared, lacks them.
        dropped: Images that are left out as near-duplicates of others.
    """

    labels: LabelSet
    targets: np.ndarray
    splits: np.ndarray
    are_images: np.ndarray
    places: np.ndarray
    split_by: SplitBy
    unlabelled: int
    unsplit: int
    matches: LabelMatches | None = None
    lacking_elsewhere: int = 0
    dropped: int = 0

    def counts(self) -> dict[str, int]:
        """Returns the images by split."""
        return {split.word: int(np.count_nonzero(self.images_of(split))) for split in SPLITS}

    def images_of(self, split: Split) -> np.ndarray:
        """Returns bool [n], whether a row is that of an image of a split, and not of an augmented copy."""
        images: np.ndarray = self.are_images & (self.splits == split)
        return images

    def columns(self, rows: np.ndarray) -> np.ndarray:
        """Returns float32 [n, 1], or [n, classes] for multi-label: the targets of rows as a loss takes them."""
        targets = self.targets[rows]
        columns: np.ndarray = (targets[:, None] if targets.ndim == 1 else targets).astype(np.float32)
        return columns

    def weights(self, rows: np.ndarray, by_class: np.ndarray | None) -> np.ndarray:
        """Returns float32 [n], the weights of rows by their classes; 1 where all weigh the same."""
        return np.ones(len(rows), np.float32) if by_class is None else by_class[self.targets[rows]]

    def class_counts(self, split: Split) -> np.ndarray:
        """Returns int64 [classes], the images of a split by class."""
        targets = self.targets[self.images_of(split)]
        if self.labels.kind == LabelKind.MULTI_LABEL:
            counts: np.ndarray = targets.sum(axis=0, dtype=np.int64)
            return counts
        return np.bincount(targets, minlength=len(self.labels.classes))

    def check(self, fractions: SplitFractions, *, folds: bool = False) -> None:
        """Refuses what no classifier can be trained and judged on.

        Args:
            fractions: The shares that were asked for. A split of which nothing was asked may be empty.
            folds: Whether the training can do without a validation split, by folds of the training split.

        Raises:
            InvalidLabels: If a split is empty, or the training or validation split lacks a class.
        """
        counts = self.counts()
        optional = {Split.TEST: fractions.test} | ({Split.VALIDATION: fractions.validation} if folds else {})
        empty = [split for split in SPLITS if not counts[split.word] and optional.get(split, 1)]
        lacking = self._lacking(split for split in (Split.TRAIN, Split.VALIDATION) if counts[split.word])
        if not (empty or lacking):
            return
        faults, found = [], ""
        if empty:
            faults.append(f"the {_named(empty)} {'is' if len(empty) == 1 else 'are'} empty")
            found = ", ".join(f"{name} {count}" for name, count in counts.items()) + "; "
        faults += [f"the {split.word} split has no example of {_names(names)}" for split, names in lacking.items()]
        can_be_empty = {split for split in optional if split in empty or self.split_by == SplitBy.HASH}
        raise InvalidLabels(
            f"T{_listed(faults, 'and')[1:]} ({found}split by {self.split_by}): "
            f"{self._remedies([split for split in SPLITS if split in {*empty, *lacking}], can_be_empty)}."
        )

    def _lacking(self, splits: Iterable[Split]) -> dict[Split, list[str]]:
        """Returns the classes that splits have no example of, by those that lack any."""
        missing = {split: np.flatnonzero(self.class_counts(split) == 0) for split in splits}
        classes = self.labels.classes
        return {split: [classes[index] for index in indices] for split, indices in missing.items() if len(indices)}

    def _remedies(self, splits: Sequence[Split], can_be_empty: Collection[Split]) -> str:
        """Returns what helps where splits lack images: none of it is what was done already, all of it helps each."""
        by_hash = self.split_by == SplitBy.HASH
        remedies = ["label more images"]
        if not by_hash:
            remedies = [f"label more images of the {_named(splits)}", "--split=hash"]
        without = [f"--{split.word}_fraction=0" for split in splits if split in can_be_empty]
        larger = [split for split in splits if split not in can_be_empty]
        fractions = [f"a larger --{split.word}_fraction" for split in larger]
        if without:
            fractions.append(f"{' and '.join(without)} to go without")
        if not larger or (by_hash and Split.TRAIN not in larger):
            remedies.append(" and ".join(fractions))
        return _listed(remedies, "or")


def read_labelled_images(
    scan: Scan | pa.Table,
    column: str | None,
    split_by: SplitBy,
    fractions: SplitFractions,
    file: LabelFile | None,
    *,
    dropped: Duplicates | None = None,
    grouped: Duplicates | None = None,
) -> LabelledImages:
    """Reads the labels and splits of all images of a snapshot, a batch at a time.

    Args:
        scan: A scan, or a table, of `uri`, `sha256`, `split`, `augmentation` where the table has it, and the labels'
            column where there is no file.
        column: The column of the labels, where there is no file.
        split_by: What decides the split of an image; `AUTO` takes the column where any labelled image has a split.
        fractions: The shares of a split by hash.
        file: Labels by image.
        dropped: Near-duplicates of which one of each group stays.
        grouped: Near-duplicates that a split by hash, and folds, keep together.

    Raises:
        InvalidLabels: If no image has a label or is in the file, there is one class only, or `split` holds an unknown
            word.
    """
    columns = _read_columns(scan, column, fractions, file, dropped=dropped, grouped=grouped)
    several = pa.types.is_list(columns.labels.type)
    names = columns.labels.combine_chunks()
    labels = LabelSet.of(pc.list_flatten(names) if several else names, several=several)
    targets = labels.targets(names)
    labelled = (targets if targets.ndim == 1 else targets[:, 0]) != UNLABELLED
    by_column = split_by == SplitBy.COLUMN or (
        split_by == SplitBy.AUTO and bool((columns.by_column[labelled] != Split.LEFT_OUT).any())
    )
    splits = (columns.by_column if by_column else columns.by_hash).copy()
    are_images = columns.are_images
    unsplit = int(np.count_nonzero(are_images & labelled & (splits == Split.LEFT_OUT)))
    splits[~labelled | (~are_images & (splits != Split.TRAIN))] = Split.LEFT_OUT
    left_out = columns.are_dropped & (splits != Split.LEFT_OUT)
    splits[left_out] = Split.LEFT_OUT
    return LabelledImages(
        labels=labels,
        targets=targets,
        splits=splits,
        are_images=are_images,
        places=columns.places,
        split_by=SplitBy.COLUMN if by_column else SplitBy.HASH,
        unlabelled=int(np.count_nonzero(are_images & ~labelled)),
        unsplit=unsplit,
        matches=columns.matches,
        dropped=int(np.count_nonzero(are_images & left_out)),
    )


@dataclasses.dataclass(frozen=True)
class _Columns:
    labels: pa.ChunkedArray
    by_column: np.ndarray
    by_hash: np.ndarray
    are_images: np.ndarray
    matches: LabelMatches | None
    places: np.ndarray
    are_dropped: np.ndarray


def _read_columns(
    scan: Scan | pa.Table,
    column: str | None,
    fractions: SplitFractions,
    file: LabelFile | None,
    *,
    dropped: Duplicates | None,
    grouped: Duplicates | None,
) -> _Columns:
    labels, by_column = [], [np.empty(0, np.uint8)]
    are_images, are_dropped = [np.empty(0, bool)], [np.empty(0, bool)]
    contents, places = [np.empty(0, np.uint64)], [np.empty(0, np.uint64)]
    augmented = has_augmentations(scan.schema)
    kind = file.labels.type if file else scan.schema.field(column).type
    counter = MatchCounter(file) if file else None
    for batch in scan.to_batches():
        values = file.labels_of(batch.column("uri")) if file else batch.column(column)
        labels.append(values if pa.types.is_list(kind) else bare_labels(values).dictionary_encode())
        by_column.append(splits_by_column(batch.column("split")))
        own = hash_places(batch.column("sha256"))
        contents.append(own)
        places.append(own if grouped is None else grouped.places_of(batch.column("uri"), own))
        are_dropped.append(np.zeros(len(own), bool) if dropped is None else dropped.are_dropped(batch.column("uri")))
        are_images.append(batch.column(AUGMENTATION).to_numpy() == 0 if augmented else np.ones(batch.num_rows, bool))
        if counter is not None:
            counter.add(batch.column("uri").filter(pa.array(are_images[-1])))
    encoded = kind if pa.types.is_list(kind) else pa.dictionary(pa.int32(), pa.string())
    chunks = pa.chunked_array(labels, encoded)
    shared = _shared_places(np.concatenate(contents), np.concatenate(places))
    return _Columns(
        labels=chunks,
        by_column=np.concatenate(by_column),
        by_hash=splits_by_place(shared, fractions),
        are_images=np.concatenate(are_images),
        matches=counter.matches() if counter else None,
        places=shared,
        are_dropped=np.concatenate(are_dropped),
    )


def _named(splits: Sequence[Split]) -> str:
    return f"{_listed([split.word for split in splits], 'and')} {'split' if len(splits) == 1 else 'splits'}"


def _listed(words: Sequence[str], before_last: str) -> str:
    return f" {before_last} ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _shared_places(contents: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Returns uint64 [n], the places of images, where the bytes of one in a group have its place under every URI.

    Args:
        contents: uint64 [n], the places by their bytes.
        places: uint64 [n], those of a group replaced by the one that they share.
    """
    moved = np.flatnonzero(places != contents)
    if not len(moved):
        return places
    known, firsts = np.unique(contents[moved], return_index=True)
    index = np.minimum(np.searchsorted(known, contents), len(known) - 1)
    return np.where(known[index] == contents, places[moved[firsts]][index], places)


def _names(names: list[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:3])
    further = with_count(len(names) - 3, "further class", "further classes")
    return shown + (f" and {further}" if len(names) > 3 else "")
