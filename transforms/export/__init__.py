"""A trained classifier as files: head and conv base in one model, and the folder with all that belongs to it.

Names are imported when they are first used: the process that composes models needs few of them.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transforms.export.composing import (
        CLASSIFIER_FILE,
        CLASSIFIER_NETWORK,
        END_TO_END_FILE,
        END_TO_END_NETWORK,
        find_application,
        tuned_base_file,
    )
    from transforms.export.end_to_end import Composer, compose_fine_tuned, composer_for
    from transforms.export.model_folder import (
        REPORT_FILE,
        folder_texts,
        model_id,
        reserved_folder,
        write_classifier,
        write_folder,
        write_report,
    )
    from transforms.export.output_folders import CLASSIFIER, PAGE, PREDICTIONS, STORE, check_output_folder
else:
    from schemas.lazy_imports import lazy_attributes

    __getattr__ = lazy_attributes(
        __name__,
        {
            "transforms.export.composing": [
                "CLASSIFIER_FILE",
                "CLASSIFIER_NETWORK",
                "END_TO_END_FILE",
                "END_TO_END_NETWORK",
                "find_application",
                "tuned_base_file",
            ],
            "transforms.export.end_to_end": ["Composer", "compose_fine_tuned", "composer_for"],
            "transforms.export.model_folder": [
                "REPORT_FILE",
                "folder_texts",
                "model_id",
                "reserved_folder",
                "write_classifier",
                "write_folder",
                "write_report",
            ],
            "transforms.export.output_folders": [
                "CLASSIFIER",
                "PAGE",
                "PREDICTIONS",
                "STORE",
                "check_output_folder",
            ],
        },
    )

__all__ = [
    "CLASSIFIER",
    "CLASSIFIER_FILE",
    "CLASSIFIER_NETWORK",
    "END_TO_END_FILE",
    "END_TO_END_NETWORK",
    "PAGE",
    "PREDICTIONS",
    "REPORT_FILE",
    "STORE",
    "Composer",
    "check_output_folder",
    "compose_fine_tuned",
    "composer_for",
    "find_application",
    "folder_texts",
    "model_id",
    "reserved_folder",
    "tuned_base_file",
    "write_classifier",
    "write_folder",
    "write_report",
]
