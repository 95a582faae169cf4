"""Training a classifier on the features of a store: targets, data sets, heads, the fit, sweeps.

Names are imported when they are first used: the process that composes models needs few of them.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transforms.training.comparison import common_images
    from transforms.training.dataset import TrainingData
    from transforms.training.fit import Fitted, class_weights, predict_split
    from transforms.training.heads import build_linear_head, compile_classifier
    from transforms.training.label_file import LABEL, LabelFile, LabelMatches, read_label_file
    from transforms.training.out_of_fold import out_of_fold_scores
    from transforms.training.probe import fit_probe
    from transforms.training.probe_rows import stratified_rows
    from transforms.training.sweep import Trial, fit_all, fit_recipe
    from transforms.training.targets import LabelledImages, SplitBy, read_labelled_images
else:
    from schemas.lazy_imports import lazy_attributes

    __getattr__ = lazy_attributes(
        __name__,
        {
            "transforms.training.comparison": ["common_images"],
            "transforms.training.dataset": ["TrainingData"],
            "transforms.training.fit": ["Fitted", "class_weights", "predict_split"],
            "transforms.training.heads": ["build_linear_head", "compile_classifier"],
            "transforms.training.label_file": ["LABEL", "LabelFile", "LabelMatches", "read_label_file"],
            "transforms.training.out_of_fold": ["out_of_fold_scores"],
            "transforms.training.probe": ["fit_probe"],
            "transforms.training.probe_rows": ["stratified_rows"],
            "transforms.training.sweep": ["Trial", "fit_all", "fit_recipe"],
            "transforms.training.targets": ["LabelledImages", "SplitBy", "read_labelled_images"],
        },
    )

__all__ = [
    "LABEL",
    "Fitted",
    "LabelFile",
    "LabelMatches",
    "LabelledImages",
    "SplitBy",
    "TrainingData",
    "Trial",
    "build_linear_head",
    "class_weights",
    "common_images",
    "compile_classifier",
    "fit_all",
    "fit_probe",
    "fit_recipe",
    "out_of_fold_scores",
    "predict_split",
    "read_label_file",
    "read_labelled_images",
    "stratified_rows",
]
