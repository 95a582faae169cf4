"""What describes a classifier: its labels, how images are split, the recipe that it is trained by, its model card."""

from schemas.classifiers.finetuning import DECAYS, FineTuning
from schemas.classifiers.labels import THRESHOLD, UNLABELLED, LabelKind, LabelSet
from schemas.classifiers.model_card import CARD_FILE, LABELS_FILE, NETWORKS_FOLDER, Classifier, ModelCard
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
from schemas.classifiers.splits import (
    SPLITS,
    Split,
    SplitFractions,
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
    "L2",
    "LABELS_FILE",
    "LBFGS",
    "MAP_REDUCTIONS",
    "NETWORKS_FOLDER",
    "OPTIMIZERS",
    "RECIPES",
    "SPLITS",
    "THRESHOLD",
    "UNLABELLED",
    "Classifier",
    "FineTuning",
    "LabelKind",
    "LabelSet",
    "ModelCard",
    "Recipe",
    "Split",
    "SplitFractions",
    "SweptField",
    "combinations",
    "hash_places",
    "parse_field",
    "splits_by_column",
    "splits_by_hash",
    "splits_by_place",
    "trains_by_default",
]
