"""What `pipelines.train` does before it trains: open stores, choose layers, read labels and splits, read features."""

import argparse
import dataclasses
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.jobs.label_columns import found_label_column
from pipelines.jobs.store import pinned_version
from pipelines.options import ALL_LAYERS
from schemas.classifiers import Duplicates, Recipe, SplitFractions
from schemas.errors import SpecMismatch, UsageError, nearest_names
from schemas.store import FeatureStore
from schemas.tables import AUGMENTATION
from transforms.origins import network_name
from transforms.runtime import available_memory
from transforms.training import (
    LABEL,
    LabelledImages,
    SplitBy,
    TrainingData,
    common_images,
    read_label_file,
    read_labelled_images,
)


@dataclasses.dataclass(frozen=True)
class TrainingSource:
    """Features that can be trained on, not read yet.

    Attributes:
        store: The store.
        layer: The layer.
        version: The version of `features`.
        images: The targets and the splits.
    """

    store: FeatureStore
    layer: str
    version: int
    images: LabelledImages


def training_sources(given: argparse.Namespace, recipes: Sequence[Recipe]) -> list[TrainingSource]:
    """Opens the stores and reads labels and splits.

    Returns:
        A source for each layer of each store, all with the same images.

    Raises:
        ConvbaseError: If nothing can be learned from them.
    """
    if len(given.features) > 1 and given.table_version is not None:
        raise UsageError("--table_version is the version of one store; --features names several.")
    if len(given.features) > 1 and given.split_groups:
        raise UsageError("--split_groups takes groups of one store; --features names several.")
    stores = [_open_store(given, uri) for uri in given.features]
    layers = [_chosen_layers(store, given) for store in stores]
    versions = [pinned_version(store, given.table_version) for store in stores]
    given.label_column = _label_column(given, stores[0], versions[0])
    fractions = SplitFractions(given.validation_fraction, given.test_fraction)
    tables = [_labelled(given, store, version) for store, version in zip(stores, versions, strict=True)]
    if len(tables) > 1:
        tables = common_images(tables)
    for images in tables:
        images.check(fractions, folds=all(recipe.is_probe for recipe in recipes))
    opened = zip(stores, layers, versions, tables, strict=True)
    return [
        TrainingSource(store, layer, version, images) for store, names, version, images in opened for layer in names
    ]


def read_training_data(source: TrainingSource, recipes: Sequence[Recipe], memory_mb: int | None) -> TrainingData:
    """Reads all that the recipes need.

    Raises:
        InvalidFeatures: If some features are NaN or infinite.
    """
    return TrainingData.read(
        source.store,
        source.layer,
        source.version,
        source.images,
        map_reductions={recipe.map_reduction for recipe in recipes if recipe.standardise},
        memory_bytes=available_memory() // 2 if memory_mb is None else memory_mb * 10**6,
    )


def _open_store(given: argparse.Namespace, uri: str) -> FeatureStore:
    """Opens a store, and refuses one whose features are not the ones asked for."""
    store = FeatureStore.open(uri)
    if given.fingerprint not in {None, store.fingerprint}:
        raise SpecMismatch(
            f"The store {uri} holds features with the fingerprint {store.fingerprint}, {given.fingerprint} was asked."
        )
    differences = store.spec.differences({"conv_base": given.conv_base and network_name(given.conv_base)})
    if differences:
        raise SpecMismatch(f"The store {uri} holds features of another spec: {differences[0]}.")
    return store


def _chosen_layers(store: FeatureStore, given: argparse.Namespace) -> Sequence[str]:
    """Returns the layers to learn from, those of the options, or the only one."""
    layers = store.spec.layers
    asked = (given.layers or given.layer or "").split(",")
    if asked == [ALL_LAYERS]:
        return layers
    if asked == [""]:
        if len(layers) > 1:
            raise UsageError(
                f"The store has features of several layers; name one with --layer: {', '.join(layers)}; or compare "
                f"them with --layers={ALL_LAYERS}."
            )
        return layers
    for name in asked:
        if name not in layers:
            raise UsageError(f"The store has no features of a layer '{name}'{nearest_names(name, layers) or '.'}")
    return asked


def _label_column(given: argparse.Namespace, store: FeatureStore, version: int) -> str:
    single = store.scan([LABEL], pc.field(LABEL).is_valid(), table_version=version)
    return found_label_column(given, pa.schema(store.features(version).schema()), lambda: single.count() > 0)


def _labelled(given: argparse.Namespace, store: FeatureStore, version: int) -> LabelledImages:
    fractions = SplitFractions(given.validation_fraction, given.test_fraction)
    file = read_label_file(given.labels, given.label_column) if given.labels else None
    columns = ["uri", "sha256", "split", *([] if file else [given.label_column])]
    columns += [AUGMENTATION] if store.spec.augmentation else []
    scan = store.scan(columns, table_version=version)
    return read_labelled_images(
        scan,
        given.label_column,
        SplitBy(given.split),
        fractions,
        file,
        dropped=Duplicates.read(given.drop_duplicates) if given.drop_duplicates else None,
        grouped=Duplicates.read(given.split_groups) if given.split_groups else None,
    )
