"""The options of the commands, declared once: their types, checks and help.

Names are imported when they are first used, so that a command imports what it needs and no more.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.options.augmentation import asked_augmentation
    from pipelines.options.dates import (
        add_backfill_options,
        add_date_options,
        add_expectation_option,
        add_nightly_drift_options,
    )
    from pipelines.options.exploration import (
        add_drift_options,
        add_exploration_options,
        add_layer_options,
        add_search_options,
        add_table_options,
    )
    from pipelines.options.finetuning import add_copy_options, add_finetuning_options, fine_tuning_of
    from pipelines.options.parser import SCRIPT, Parser, interruptible, run_main, storage_errors_in_a_sentence
    from pipelines.options.run import (
        add_engine,
        add_extraction_options,
        add_failure_ratio,
        add_look_options,
        add_metrics_option,
        add_run_name_options,
        add_worker_start_option,
    )
    from pipelines.options.sources import (
        add_decoding_options,
        add_inputs,
        add_source_options,
        decoding_limits,
        fetching_reach,
        manifest_options,
    )
    from pipelines.options.spec import add_spec_options, spec_options
    from pipelines.options.streams import add_log_options
    from pipelines.options.training import (
        ALL_LAYERS,
        add_classifier_output,
        add_data_options,
        add_duplicate_options,
        add_label_options,
        add_recipe_options,
        add_split_options,
        recipe_of,
    )
    from pipelines.options.types import (
        OptionType,
        add_flag,
        not_negative,
        number,
        positive,
        ratio,
        retention,
        run_name,
        true_or_false,
        version,
    )
else:
    from schemas.lazy_imports import lazy_attributes

    __getattr__ = lazy_attributes(
        __name__,
        {
            "pipelines.options.augmentation": ["asked_augmentation"],
            "pipelines.options.dates": [
                "add_backfill_options",
                "add_date_options",
                "add_expectation_option",
                "add_nightly_drift_options",
            ],
            "pipelines.options.exploration": [
                "add_drift_options",
                "add_exploration_options",
                "add_layer_options",
                "add_search_options",
                "add_table_options",
            ],
            "pipelines.options.finetuning": ["add_copy_options", "add_finetuning_options", "fine_tuning_of"],
            "pipelines.options.parser": [
                "SCRIPT",
                "Parser",
                "interruptible",
                "run_main",
                "storage_errors_in_a_sentence",
            ],
            "pipelines.options.run": [
                "add_engine",
                "add_extraction_options",
                "add_failure_ratio",
                "add_look_options",
                "add_metrics_option",
                "add_run_name_options",
                "add_worker_start_option",
            ],
            "pipelines.options.sources": [
                "add_decoding_options",
                "add_inputs",
                "add_source_options",
                "decoding_limits",
                "fetching_reach",
                "manifest_options",
            ],
            "pipelines.options.spec": ["add_spec_options", "spec_options"],
            "pipelines.options.streams": ["add_log_options"],
            "pipelines.options.training": [
                "ALL_LAYERS",
                "add_classifier_output",
                "add_data_options",
                "add_duplicate_options",
                "add_label_options",
                "add_recipe_options",
                "add_split_options",
                "recipe_of",
            ],
            "pipelines.options.types": [
                "OptionType",
                "add_flag",
                "not_negative",
                "number",
                "positive",
                "ratio",
                "retention",
                "run_name",
                "true_or_false",
                "version",
            ],
        },
    )

__all__ = [
    "ALL_LAYERS",
    "SCRIPT",
    "OptionType",
    "Parser",
    "add_backfill_options",
    "add_classifier_output",
    "add_copy_options",
    "add_data_options",
    "add_date_options",
    "add_decoding_options",
    "add_drift_options",
    "add_duplicate_options",
    "add_engine",
    "add_expectation_option",
    "add_exploration_options",
    "add_extraction_options",
    "add_failure_ratio",
    "add_finetuning_options",
    "add_flag",
    "add_inputs",
    "add_label_options",
    "add_layer_options",
    "add_log_options",
    "add_look_options",
    "add_metrics_option",
    "add_nightly_drift_options",
    "add_recipe_options",
    "add_run_name_options",
    "add_search_options",
    "add_source_options",
    "add_spec_options",
    "add_split_options",
    "add_table_options",
    "add_worker_start_option",
    "asked_augmentation",
    "decoding_limits",
    "fetching_reach",
    "fine_tuning_of",
    "interruptible",
    "manifest_options",
    "not_negative",
    "number",
    "positive",
    "ratio",
    "recipe_of",
    "retention",
    "run_main",
    "run_name",
    "spec_options",
    "storage_errors_in_a_sentence",
    "true_or_false",
    "version",
]
