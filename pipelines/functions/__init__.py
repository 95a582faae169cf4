"""Commands as functions: keyword arguments in, results out that a notebook shows.

Names are imported when they are first used, so that a command imports what it needs and no more.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.functions.arguments import arguments_of, signature_of
    from pipelines.functions.command import make_callable, open_store
    from pipelines.functions.results import (
        ExplorationResult,
        ExtractionResult,
        MeasurementResult,
        PredictionResult,
        Result,
        SearchResult,
        TrainingResult,
        printed,
    )
else:
    from schemas.lazy_imports import lazy_attributes

    __getattr__ = lazy_attributes(
        __name__,
        {
            "pipelines.functions.arguments": ["arguments_of", "signature_of"],
            "pipelines.functions.command": ["make_callable", "open_store"],
            "pipelines.functions.results": [
                "ExplorationResult",
                "ExtractionResult",
                "MeasurementResult",
                "PredictionResult",
                "Result",
                "SearchResult",
                "TrainingResult",
                "printed",
            ],
        },
    )

__all__ = [
    "ExplorationResult",
    "ExtractionResult",
    "MeasurementResult",
    "PredictionResult",
    "Result",
    "SearchResult",
    "TrainingResult",
    "arguments_of",
    "make_callable",
    "open_store",
    "printed",
    "signature_of",
]
