"""Exploring features: neighbours, near-duplicates, likely wrong labels, odd pictures, a map."""

from transforms.exploration.drift import Drift, DriftSide, measure_drift
from transforms.exploration.duplicates import Group, duplicate_distance, duplicates_table
from transforms.exploration.exploration import Exploration, explore
from transforms.exploration.explored_images import ExploredImages, read_explored
from transforms.exploration.label_issues import find_label_issues, issues_table, names_of
from transforms.exploration.leaks import Leaks, count_leaks
from transforms.exploration.nightly_drift import NightlyDrift, measure_nightly_drift
from transforms.exploration.oddities import Oddity, find_oddities, outliers
from transforms.exploration.projection import Projection

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
