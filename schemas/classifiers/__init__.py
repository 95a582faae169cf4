"""A classifier: its labels, how images are split, near-duplicates, the recipe that it is trained by, its model card."""

from schemas.classifiers.classifier import (
    CARD_FILE,
    LABELS_FILE,
    Classifier,
    add_file,
    holds_classifier,
    publish_classifier,
)
from schemas.classifiers.duplicates import DUPLICATES, Duplicates
from schemas.classifiers.finetuning import DECAYS, FineTuning
from schemas.classifiers.labels import THRESHOLD, UNLABELLED, LabelKind, LabelSet
from schemas.classifiers.model_card import ModelCard
from schemas.classifiers.model_files import NETWORKS_FOLDER, ModelFiles
from schemas.classifiers.recipes import (
    ACTIVATIONS,
    CLASS_WEIGHTS,
    L2,
    LBFGS,
    MAP_REDUCTIONS,
    OPTIMIZERS,
    RECIPES,
    Recipe,
    SweptField,
    combinations,
    parse_field,
)
from schemas.classifiers.reservation import LOCK_FILE, locked_folder
from schemas.classifiers.splits import (
    SPELLINGS,
    SPLITS,
    Split,
    SplitFractions,
    canonical_splits,
    hash_places,
    splits_by_column,
    splits_by_hash,
    splits_by_place,
    trains_by_default,
)

__all__ = [
    "ACTIVATIONS",
    "CARD_FILE",
    "CLASS_WEIGHTS",
    "DECAYS",
    "DUPLICATES",
    "L2",
    "LABELS_FILE",
    "LBFGS",
    "LOCK_FILE",
    "MAP_REDUCTIONS",
    "NETWORKS_FOLDER",
    "OPTIMIZERS",
    "RECIPES",
    "SPELLINGS",
    "SPLITS",
    "THRESHOLD",
    "UNLABELLED",
    "Classifier",
    "Duplicates",
    "FineTuning",
    "LabelKind",
    "LabelSet",
    "ModelCard",
    "ModelFiles",
    "Recipe",
    "Split",
    "SplitFractions",
    "SweptField",
    "add_file",
    "canonical_splits",
    "combinations",
    "hash_places",
    "holds_classifier",
    "locked_folder",
    "parse_field",
    "publish_classifier",
    "splits_by_column",
    "splits_by_hash",
    "splits_by_place",
    "trains_by_default",
]
