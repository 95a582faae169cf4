"""Exploring features: neighbours, near-duplicates, likely wrong labels, odd pictures, a map.

Names are imported when they are first used, so that a command imports what it needs and no more.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transforms.exploration.drift import Drift, DriftSide, measure_drift
    from transforms.exploration.duplicates import Group, duplicate_distance, duplicates_table
    from transforms.exploration.exploration import Exploration, explore
    from transforms.exploration.explored_images import ExploredImages, read_explored
    from transforms.exploration.label_issues import find_label_issues, issues_table, names_of
    from transforms.exploration.leaks import Leaks, count_leaks
    from transforms.exploration.nightly_drift import NightlyDrift, measure_nightly_drift
    from transforms.exploration.oddities import Oddity, find_oddities, outliers
    from transforms.exploration.projection import Projection
else:
    from schemas.lazy_imports import lazy_attributes

    __getattr__ = lazy_attributes(
        __name__,
        {
            "transforms.exploration.drift": ["Drift", "DriftSide", "measure_drift"],
            "transforms.exploration.duplicates": ["Group", "duplicate_distance", "duplicates_table"],
            "transforms.exploration.exploration": ["Exploration", "explore"],
            "transforms.exploration.explored_images": ["ExploredImages", "read_explored"],
            "transforms.exploration.label_issues": ["find_label_issues", "issues_table", "names_of"],
            "transforms.exploration.leaks": ["Leaks", "count_leaks"],
            "transforms.exploration.nightly_drift": ["NightlyDrift", "measure_nightly_drift"],
            "transforms.exploration.oddities": ["Oddity", "find_oddities", "outliers"],
            "transforms.exploration.projection": ["Projection"],
        },
    )

__all__ = [
    "Drift",
    "DriftSide",
    "Exploration",
    "ExploredImages",
    "Group",
    "Leaks",
    "NightlyDrift",
    "Oddity",
    "Projection",
    "count_leaks",
    "duplicate_distance",
    "duplicates_table",
    "explore",
    "find_label_issues",
    "find_oddities",
    "issues_table",
    "measure_drift",
    "measure_nightly_drift",
    "names_of",
    "outliers",
    "read_explored",
]
