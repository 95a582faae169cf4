"""`TrainingData`: all that a classifier is trained on, read once from one snapshot of a store."""

import dataclasses
from collections.abc import Iterable, Mapping

import numpy as np

from schemas.store import FeatureStore
from transforms.linear import Moments, RunningMoments
from transforms.runtime import return_freed_memory
from transforms.training.feature_rows import FeatureRows, RowsBySplit, read_splits
from transforms.training.targets import LabelledImages


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """All that a classifier is trained on.

    Attributes:
        store: The store.
        layer: The layer whose features are learned from.
        table_version: The version of `features`.
        images: The targets and the splits.
        rows: The features, held or streamed.
        moments: By map reduction, the moments of the features of the training split.
        memory_bytes: The bytes of features that are allowed in memory.
    """

    store: FeatureStore
    layer: str
    table_version: int
    images: LabelledImages
    rows: RowsBySplit
    moments: Mapping[str, Moments]
    memory_bytes: int

    @classmethod
    def read(
        cls,
        store: FeatureStore,
        layer: str,
        table_version: int,
        images: LabelledImages,
        *,
        map_reductions: Iterable[str],
        memory_bytes: int,
    ) -> "TrainingData":
        """Reads the features once; what fits is kept.

        Args:
            store: The store.
            layer: The layer.
            table_version: The version of `features`, of which `images` are the rows.
            images: The targets and the splits.
            map_reductions: Those for which moments are wanted.
            memory_bytes: The most bytes of features in memory.

        Raises:
            InvalidFeatures: If some are NaN or infinite.
        """
        running = {name: RunningMoments(name) for name in map_reductions}
        features = FeatureRows.of(store.scan(table_version=table_version), layer)

        def add(batch: np.ndarray) -> None:
            for moments in running.values():
                moments.add(batch)

        rows = read_splits(features, images.splits, memory_bytes, add)
        if rows.streamed:
            return_freed_memory()
        moments = {name: found.moments() for name, found in running.items()}
        return cls(store, layer, table_version, images, rows, moments, memory_bytes)

    def with_train_rows(self, places: np.ndarray) -> "TrainingData":
        """Returns the same with some rows of the training split alone, int64 [m], ascending, and their moments."""
        train = self.rows.train.take(places)
        running = {name: RunningMoments(name) for name in self.moments}
        for block in train.blocks():
            for moments in running.values():
                moments.add(block)
        return dataclasses.replace(
            self,
            rows=dataclasses.replace(self.rows, train=train),
            moments={name: found.moments() for name, found in running.items()},
        )

    @property
    def feature_bytes(self) -> int:
        """The bytes of the features of all splits."""
        rows = len(self.rows.train) + len(self.rows.validation) + len(self.rows.test)
        return rows * self.rows.train.rows.row_bytes
