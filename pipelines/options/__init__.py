"""The options of the commands, declared once: their types, checks and help."""

from pipelines.options.augmentation import asked_augmentation
from pipelines.options.dates import add_backfill_options, add_date_options
from pipelines.options.finetuning import add_copy_options, add_finetuning_options, fine_tuning_of
from pipelines.options.parser import Parser, run_main
from pipelines.options.run import add_extraction_options, add_failure_ratio, add_look_options, add_run_name_options
from pipelines.options.sources import add_decoding_options, add_source_options
from pipelines.options.spec import add_spec_options, spec_options
from pipelines.options.training import (
    add_data_options,
    add_label_options,
    add_recipe_options,
    add_split_options,
    recipe_of,
)
from pipelines.options.types import (
    OptionType,
    not_negative,
    number,
    positive,
    ratio,
    retention,
    run_name,
    true_or_false,
    version,
)

__all__ = [
    "OptionType",
    "Parser",
    "add_backfill_options",
    "add_copy_options",
    "add_data_options",
    "add_date_options",
    "add_decoding_options",
    "add_extraction_options",
    "add_failure_ratio",
    "add_finetuning_options",
    "add_label_options",
    "add_look_options",
    "add_recipe_options",
    "add_run_name_options",
    "add_source_options",
    "add_spec_options",
    "add_split_options",
    "asked_augmentation",
    "fine_tuning_of",
    "not_negative",
    "number",
    "positive",
    "ratio",
    "recipe_of",
    "retention",
    "run_main",
    "run_name",
    "spec_options",
    "true_or_false",
    "version",
]
