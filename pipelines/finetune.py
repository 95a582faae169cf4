r"""python -m pipelines.finetune: a classifier and the last layers of its conv base, trained together on images.

    python -m pipelines.finetune --model=model --input=photos/ --labels_from=parent --unfreeze_from=block5_conv1 \
        --output=tuned

It goes on where it was killed when it is started again as it was. A picture that is none is left out and named.
Exit codes: 0 done; 1 the run failed; 2 the command cannot start as it was given.
"""

import argparse
import dataclasses
import functools
import time
from collections.abc import Sequence
from typing import Final

from pipelines.console import (
    LEFT_OUT_FILE,
    epoch_text,
    fine_tuned_card,
    finetuning_text,
    left_out_csv,
    parameters_text,
    pictures_text,
    start_text,
)
from pipelines.functions import TrainingResult, make_callable, printed
from pipelines.jobs import (
    FineTuningJob,
    digest_of,
    fetch_network,
    find_images,
    judge_start,
    read_labelled_pictures,
    true_end_of_training,
)
from pipelines.monitoring import logged_work
from pipelines.options import (
    Parser,
    add_classifier_output,
    add_copy_options,
    add_decoding_options,
    add_failure_ratio,
    add_finetuning_options,
    add_inputs,
    add_label_options,
    add_source_options,
    add_split_options,
    fine_tuning_of,
    positive,
    run_main,
)
from pipelines.runners import print_above, shown_progress
from schemas.classifiers import Classifier, ModelCard, Split
from schemas.errors import ModelNotWritable, UsageError, first_line
from schemas.storage import canonical_uri, join
from transforms.evaluation import Evaluation, judge
from transforms.export import (
    CLASSIFIER_FILE,
    REPORT_FILE,
    compose_fine_tuned,
    folder_texts,
    reserved_folder,
    tuned_base_file,
    write_folder,
    write_report,
)
from transforms.finetuning import (
    Checkpoint,
    FineTuned,
    fine_tune,
    gpu_takes_bfloat16,
    holds_checkpoint,
    list_images,
    remove_checkpoint,
    score_split,
    unfreeze,
)
from transforms.origins import KERAS_FILE, saved_sha256
from transforms.runtime import PROGRESS, import_tensorflow, temporary_folder

_FIRST: Final = (
    "model", "input", "output", "unfreeze_from", "labels_from", "epochs", "learning_rate", "augment", "memory_mb",
    "overwrite",
)  # fmt: skip


def parser() -> Parser:
    """Returns the command's parser."""
    command = Parser.of_command("pipelines.finetune", __doc__, first=_FIRST)
    command.add_argument("--model", metavar="URI", required=True, help="the classifier's folder, of pipelines.train")
    add_classifier_output(command)
    add_inputs(command)
    add_source_options(command, "none; it has to be named", names_labels=False)
    add_decoding_options(command)
    add_failure_ratio(command, "of a reading; more end the run")
    command.add_argument(
        "--memory_mb",
        type=positive,
        metavar="N",
        help="most megabytes of pixels in memory; where the pictures take more, they are read and decoded again in "
        "each epoch (default: half of what is free)",
    )
    add_label_options(command)
    add_split_options(command)
    add_finetuning_options(command)
    add_copy_options(command)
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
    if not given.input:
        raise UsageError("Name the images with --input.")
    if canonical_uri(given.output) == canonical_uri(given.model):
        raise UsageError("--output is the folder of --model; name another, for the classifier there is the start.")
    state = functools.partial(checkpoint_text, given.output)
    with (
        logged_work("finetune", given.output) as figures,
        reserved_folder(given.output, overwrite=given.overwrite),
        true_end_of_training(given.output, state),
    ):
        result = train_further(given, started)
        figures.update(result.logged())
        return result


def train_further(given: argparse.Namespace, started: float) -> TrainingResult:
    """Trains, and writes the new classifier into its folder, which is kept for it.

    Args:
        given: The command's options.
        started: When the command began, by `time.perf_counter`.
    """
    classifier = Classifier.open(given.model)
    fine_tuning_of(given, "none", mixed_precision=False)  # Complains before anything slow.
    refs = list_images(*find_images(given))
    import_tensorflow()
    class_weight = str(classifier.card.recipe.get("class_weight", "none"))
    how = fine_tuning_of(given, class_weight, mixed_precision=gpu_takes_bfloat16())
    network, model_sha256 = fetch_network(classifier)
    unfreeze(network, how.unfreeze_from)
    print(parameters_text(network, how), flush=True)
    data = read_labelled_pictures(given, classifier, refs)
    print(pictures_text(data), flush=True)
    asked = {**how.to_dict(), "model": model_sha256, "images": digest_of(data)}
    state = Checkpoint.find(given.output, asked)
    before = state.before if state else judge_start(given, network, data).summary()
    print(start_text(state, before), flush=True)
    job = FineTuningJob(given, classifier, network, how, data, asked, before)
    tuned = fine_tune_shown(job, state)
    evaluation = judge(data.images.labels, lambda split: score_split(network, data, split))
    card = write(job, tuned, evaluation)
    card, missing = write_report(given.output, card, evaluation, tuned.history)
    seconds = time.perf_counter() - started
    return TrainingResult(
        text=finetuning_text(given.output, card, evaluation, missing=missing, seconds=seconds),
        uri=given.output,
        report=join(given.output, REPORT_FILE),
        card=card,
    )


def checkpoint_text(uri: str) -> str:
    """Returns the sentence of what an interrupted fine-tuning goes on from; empty if that is nothing."""
    return " Started again as it was, it goes on after its last whole epoch." if holds_checkpoint(uri) else ""


def fine_tune_shown(job: FineTuningJob, state: Checkpoint | None) -> FineTuned:
    """Trains, with a line and a checkpoint an epoch, and with how far it is on the terminal.

    Raises:
        ModelNotWritable: If the checkpoint cannot be written.
        RunFailed: If the loss does not stay finite, or too many pictures can no longer be read.
    """
    output, how = job.given.output, job.how

    def on_epoch(state: Checkpoint) -> None:
        state.asked, state.before = job.asked, job.before
        try:
            state.save(output)
        except OSError as error:
            raise ModelNotWritable(f"The checkpoint in {output} cannot be written: {first_line(error)}") from error
        print_above(epoch_text(state, how.epochs))

    with shown_progress("fine-tuning"):
        epochs = how.epochs - (state.epochs if state else 0)
        PROGRESS.add(planned=epochs * len(job.data.numbers(Split.TRAIN)))
        return fine_tune(job.network, how, job.data, state, on_epoch)


def write(job: FineTuningJob, tuned: FineTuned, evaluation: Evaluation) -> ModelCard:
    """Writes the new classifier's folder but for its report, removes the checkpoint, and returns the card.

    Raises:
        RunFailed: If the folder cannot be written.
    """
    output, network, parent = job.given.output, job.network, job.classifier.card
    pictures = job.data.pictures
    with temporary_folder() as folder:
        network.base.save(folder / KERAS_FILE)
        network.head.save(folder / CLASSIFIER_FILE)
        why_no_onnx = compose_fine_tuned(parent.spec, folder)
        base_file = tuned_base_file(parent.spec)
        spec = dataclasses.replace(
            parent.spec,
            conv_base=parent.spec.conv_base if parent.spec.saved_format is None else base_file,
            weights=join(canonical_uri(output), base_file),
            weights_sha256=saved_sha256(str(folder / base_file)),
            layers=(parent.layer,),
            feature_shapes=(tuple(parent.feature_shape),),
            augmentation=None,
        )
        card = fine_tuned_card(job, spec, tuned, evaluation)
        (folder / LEFT_OUT_FILE).write_text(left_out_csv(pictures.left_out))
        further = (base_file, LEFT_OUT_FILE)
        texts = folder_texts(card, evaluation, tuned.history)
        card = write_folder(output, folder, card, texts, further=further, why_no_onnx=why_no_onnx)
    remove_checkpoint(output)
    return card


if __name__ == "__main__":
    run_main(main)
else:
    make_callable(__name__)
