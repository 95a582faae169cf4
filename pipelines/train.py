"""python -m pipelines.train: a feature table in, a dense classifier out.

    python -m pipelines.train --features=store --output=model
    python -m pipelines.train --features=store --output=model --layers=all --sweep hidden=0,256
    python -m pipelines.train --features=mobilenet --features=vgg16 --output=best

Exit codes: 0 done; 1 the run failed; 2 the command cannot start as it was given.
"""

import argparse
import functools
import time
from collections.abc import Sequence
from typing import Final

from pipelines.console import (
    data_text,
    images_text,
    leaderboard_csv,
    leaderboard_text,
    leak_lines,
    model_card,
    training_text,
    trial_line,
)
from pipelines.functions import TrainingResult, make_callable, printed
from pipelines.jobs import TrainingSource, read_training_data, training_sources, true_end_of_training
from pipelines.monitoring import logged_work
from pipelines.options import (
    Parser,
    add_classifier_output,
    add_data_options,
    add_duplicate_options,
    add_flag,
    add_label_options,
    add_recipe_options,
    add_split_options,
    recipe_of,
    run_main,
)
from pipelines.runners import print_above, shown_progress
from schemas.classifiers import Recipe, SweptField, combinations
from schemas.storage import join
from transforms.exploration import count_leaks
from transforms.export import REPORT_FILE, composer_for, reserved_folder, write_classifier, write_report
from transforms.runtime import PROGRESS, import_tensorflow
from transforms.training import (
    TrainingData,
    Trial,
    fit_all,
)

_LEADERBOARD_FILE: Final = "leaderboard.csv"
_FIRST: Final = (
    "features", "output", "overwrite", "labels", "label_column", "layers", "recipe", "hidden", "l2", "sweep",
)  # fmt: skip


def parser() -> Parser:
    """Returns the command's parser."""
    command = Parser.of_command("pipelines.train", __doc__, first=_FIRST)
    add_data_options(command)
    add_label_options(command)
    add_split_options(command)
    add_duplicate_options(command)
    add_recipe_options(command)
    add_classifier_output(command)
    add_flag(
        command,
        "--learning_curve",
        "judge classifiers of 1, 2, 5, 10, 20 and 50 %% of the training split, too: do more labels help?",
        default=False,
    )
    return command


def main(arguments: Sequence[str]) -> int:
    """Runs the command, prints what it has done, and returns its exit code.

    Raises:
        ConvbaseError: If it cannot start, or fails.
    """
    return printed(run(arguments))


def run(arguments: Sequence[str]) -> TrainingResult:
    """Runs the command, prints how far it is, and returns what it has done.

    Raises:
        ConvbaseError: If it cannot start, or fails.
    """
    started = time.perf_counter()
    given = parser().begin(arguments)
    swept = [SweptField.parse(text) for text in given.sweep]
    recipes = combinations(recipe_of(given), swept)
    with (
        logged_work("train", given.output) as figures,
        reserved_folder(given.output, overwrite=given.overwrite),
        true_end_of_training(given.output),
    ):
        result = train(given, recipes, swept, started)
        figures.update(result.logged())
        return result


def train(
    given: argparse.Namespace, recipes: Sequence[Recipe], swept: Sequence[SweptField], started: float
) -> TrainingResult:
    """Trains, and writes the best classifier into its folder, which is kept for it.

    Args:
        given: The command's options.
        recipes: What is tried.
        swept: The fields in which these differ.
        started: When the command began, by `time.perf_counter`.
    """
    sources = training_sources(given, recipes)
    print(images_text([source.images for source in sources]), flush=True)
    with composer_for(sources[0].store) as composer:
        if not all(recipe.is_probe for recipe in recipes):
            import_tensorflow()
        read = functools.partial(_read, given, recipes)
        show = functools.partial(_show_trial, [field.name for field in swept], len(sources) > 1)
        with shown_progress("training"):
            fitted, data, trials = fit_all(sources, recipes, read, show)
        compared = swept or len(sources) > 1
        with composer.of(data.store) as own:
            card, evaluation = write_classifier(
                given.output,
                data,
                fitted,
                own,
                lambda evaluation: model_card(given, data, fitted, evaluation),
                learning=fitted.asked if given.learning_curve else None,
                trials=trials,
                further={_LEADERBOARD_FILE: leaderboard_csv(trials)} if compared else {},
            )
    if compared:
        print(leaderboard_text(trials))
    card, missing = write_report(given.output, card, evaluation, fitted.history)
    return TrainingResult(
        text=training_text(
            given.output, card, fitted, evaluation, missing=missing, seconds=time.perf_counter() - started
        ),
        uri=given.output,
        report=join(given.output, REPORT_FILE),
        card=card,
    )


def _read(given: argparse.Namespace, recipes: Sequence[Recipe], source: TrainingSource) -> TrainingData:
    PROGRESS.stage = "reading features"
    data = read_training_data(source, recipes, given.memory_mb)
    PROGRESS.stage = ""
    print_above(data_text(data))
    for line in leak_lines(count_leaks(data), source.store.uri):
        print_above(line)
    return data


def _show_trial(swept: Sequence[str], several_sources: bool, trial: Trial) -> None:
    if swept or several_sources:
        print_above(trial_line(trial, swept, with_source=several_sources))


if __name__ == "__main__":
    run_main(main)
else:
    make_callable(__name__)
