"""A trained classifier as files: head and conv base in one model, and the folder with all that belongs to it."""

from transforms.export.end_to_end import (
    BASE_WEIGHTS_FILE,
    CLASSIFIER_FILE,
    CLASSIFIER_NETWORK,
    END_TO_END_FILE,
    END_TO_END_NETWORK,
    compose_fine_tuned,
    find_application,
)
from transforms.export.model_folder import REPORT_FILE, check_folder, model_id, write_classifier, write_folder

__all__ = [
    "BASE_WEIGHTS_FILE",
    "CLASSIFIER_FILE",
    "CLASSIFIER_NETWORK",
    "END_TO_END_FILE",
    "END_TO_END_NETWORK",
    "REPORT_FILE",
    "check_folder",
    "compose_fine_tuned",
    "find_application",
    "model_id",
    "write_classifier",
    "write_folder",
]
