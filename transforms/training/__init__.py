"""Training a classifier on the features of a store: targets, data sets, heads, the fit, sweeps."""

from transforms.training.dataset import TrainingData
from transforms.training.fit import Fitted, class_weights, predict_split
from transforms.training.heads import compile_classifier
from transforms.training.label_file import LABEL, LabelFile, LabelMatches, read_label_file
from transforms.training.sweep import Trial, fit_all
from transforms.training.targets import LabelledImages, SplitBy, read_labelled_images

__all__ = [
    "LABEL",
    "Fitted",
    "LabelFile",
    "LabelMatches",
    "LabelledImages",
    "SplitBy",
    "TrainingData",
    "Trial",
    "class_weights",
    "compile_classifier",
    "fit_all",
    "predict_split",
    "read_label_file",
    "read_labelled_images",
]
