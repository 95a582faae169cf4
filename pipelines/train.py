"""python -m pipelines.train: a feature table in, a dense classifier out.

    python -m pipelines.train --features=store --output=model
    python -m pipelines.train --features=store --output=model --sweep hidden=0,64,256 --sweep dropout=0.2,0.5

Exit codes: 0 done; 1 the run failed; 2 the command cannot start as it was given.
"""

import argparse
import functools
import time
from collections.abc import Sequence
from typing import Final

from pipelines.console import data_text, leaderboard_csv, leaderboard_text, model_card, training_text, trial_line
from pipelines.jobs import pinned_version
from pipelines.options import (
    Parser,
    add_data_options,
    add_label_options,
    add_recipe_options,
    add_split_options,
    recipe_of,
    run_main,
)
from schemas.classifiers import Recipe, SplitFractions, SweptField, combinations
from schemas.errors import SpecMismatch, UsageError, nearest_names
from schemas.storage import join, write_file
from schemas.store import FeatureStore
from schemas.tables import AUGMENTATION
from transforms.export import check_folder, write_classifier
from transforms.runtime import available_memory, import_tensorflow
from transforms.training import (
    LabelledImages,
    SplitBy,
    TrainingData,
    Trial,
    fit_all,
    read_label_file,
    read_labelled_images,
)

_LEADERBOARD_FILE: Final = "leaderboard.csv"


def parser() -> argparse.ArgumentParser:
    """Returns the command's parser."""
    command = Parser("pipelines.train", __doc__.partition("\n")[2].strip())
    add_data_options(command)
    add_label_options(command)
    add_split_options(command)
    add_recipe_options(command)
    command.add_argument("--output", metavar="URI", required=True, help="the folder of the classifier; it is made")
    return command


def main(arguments: Sequence[str]) -> int:
    """Runs the command and returns its exit code.

    Raises:
        ConvbaseError: If it cannot start, or fails.
    """
    started = time.perf_counter()
    given = parser().parse_args(list(arguments))
    swept = [SweptField.parse(text) for text in given.sweep]
    recipes = combinations(recipe_of(given), swept)
    data = read_training_data(given, recipes)
    print(data_text(data), flush=True)
    check_folder(given.output)
    import_tensorflow()
    names = [field.name for field in swept]
    fitted, trials = fit_all(recipes, data, functools.partial(_show_trial, names))
    card, evaluation = write_classifier(
        given.output, data, fitted, lambda evaluation: model_card(given, data, fitted, evaluation)
    )
    if swept:
        write_file(join(given.output, _LEADERBOARD_FILE), leaderboard_csv(trials).encode())
        print(leaderboard_text(trials))
    print(training_text(given.output, card, evaluation, time.perf_counter() - started))
    return 0


def read_training_data(given: argparse.Namespace, recipes: Sequence[Recipe]) -> TrainingData:
    """Opens the store and reads all that the recipes need.

    Raises:
        ConvbaseError: If nothing can be learned from it.
    """
    store = open_store(given)
    layer = chosen_layer(store, given.layer)
    version = pinned_version(store, given.table_version)
    return TrainingData.read(
        store,
        layer,
        version,
        labelled_rows(given, store, version),
        map_reductions={recipe.map_reduction for recipe in recipes if recipe.standardise},
        memory_bytes=available_memory() // 2 if given.memory_mb is None else given.memory_mb * 10**6,
    )


def open_store(given: argparse.Namespace) -> FeatureStore:
    """Opens the store, and refuses one whose features are not the ones asked for.

    Raises:
        StoreNotFound: If there is none.
        SpecMismatch: If it holds features of another spec.
    """
    store = FeatureStore.open(given.features)
    if given.fingerprint not in {None, store.fingerprint}:
        raise SpecMismatch(
            f"The store {given.features} holds features with the fingerprint {store.fingerprint}, "
            f"{given.fingerprint} was asked."
        )
    differences = store.spec.differences({"conv_base": given.conv_base})
    if differences:
        raise SpecMismatch(f"The store {given.features} holds features of another spec: {differences[0]}.")
    return store


def chosen_layer(store: FeatureStore, asked: str | None) -> str:
    """Returns the layer to learn from.

    Raises:
        UsageError: If the store has no such layer, or has several and none is named.
    """
    layers = store.spec.layers
    if asked is None and len(layers) > 1:
        raise UsageError(f"The store has features of several layers; name one with --layer: {', '.join(layers)}.")
    if asked not in {None, *layers}:
        raise UsageError(f"The store has no features of a layer '{asked}'{nearest_names(asked, layers) or '.'}")
    return asked or layers[0]


def labelled_rows(given: argparse.Namespace, store: FeatureStore, version: int) -> LabelledImages:
    """Reads labels and splits, and refuses what nothing can be learned from.

    Raises:
        InvalidLabels: If there are no labels, one class only, an empty split, or a class that is missing in one.
        UsageError: If the table has no such column.
    """
    fractions = SplitFractions(given.validation_fraction, given.test_fraction)
    file = read_label_file(given.labels, given.label_column) if given.labels else None
    columns = ["uri", "sha256", "split", *([] if file else [given.label_column])]
    columns += [AUGMENTATION] if store.spec.augmentation else []
    scan = store.scan(columns, table_version=version)
    images = read_labelled_images(scan, given.label_column, SplitBy(given.split), fractions, file)
    images.check(fractions)
    return images


def _show_trial(swept: Sequence[str], trial: Trial) -> None:
    if swept:
        print(trial_line(trial, swept), flush=True)


if __name__ == "__main__":
    run_main(main)
