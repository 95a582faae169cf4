"""Upkeep of a store: compaction, vacuum, takedowns, restoring a version, checking for damage."""

from schemas.maintenance.compaction import TARGET_BYTES, Compaction, compact, plan_compaction, planned
from schemas.maintenance.damage import Checked, Damage, all_damage, check_table, drop_files, mark_taken_out
from schemas.maintenance.damaged_indexes import CheckedIndexes, check_indexes, remove_damaged
from schemas.maintenance.restoration import plan_restoration, restore
from schemas.maintenance.takedowns import open_takedowns, plan_takedown, take_down, taken_down
from schemas.maintenance.traces import Trace, find_traces
from schemas.maintenance.vacuum import LEAST_RETENTION, RETENTION, find_waste, remove_waste

__all__ = [
    "LEAST_RETENTION",
    "RETENTION",
    "TARGET_BYTES",
    "Checked",
    "CheckedIndexes",
    "Compaction",
    "Damage",
    "Trace",
    "all_damage",
    "check_indexes",
    "check_table",
    "compact",
    "drop_files",
    "find_traces",
    "find_waste",
    "mark_taken_out",
    "open_takedowns",
    "plan_compaction",
    "plan_restoration",
    "plan_takedown",
    "planned",
    "remove_damaged",
    "remove_waste",
    "restore",
    "take_down",
    "taken_down",
]
