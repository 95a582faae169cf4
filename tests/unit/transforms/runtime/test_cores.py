"""A process takes the cores that it was given, not those of the machine."""

import os
from pathlib import Path

import pytest

from transforms.runtime import cores


@pytest.mark.parametrize(
    ("limit", "affinity", "expected"),
    [("max 100000", 4, 4), ("200000 100000", 4, 2), ("50000 100000", 4, 1), ("800000 100000", 4, 4), (None, 3, 3)],
)
def test_the_smaller_of_affinity_and_quota_counts(
    limit: str | None, affinity: int, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cores, "_CGROUP_LIMIT", tmp_path / "cpu.max")
    monkeypatch.setattr(cores, "_CGROUP_V1_LIMIT", (tmp_path / "quota", tmp_path / "period"))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(affinity)))
    if limit:
        (tmp_path / "cpu.max").write_text(limit + "\n")
    assert cores.available_cores() == expected


@pytest.mark.parametrize(("quota", "expected"), [("-1", 4), ("100000", 1), ("300000", 3)])
def test_older_kernels_keep_the_quota_in_two_files(
    quota: str, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cores, "_CGROUP_LIMIT", tmp_path / "cpu.max")
    monkeypatch.setattr(cores, "_CGROUP_V1_LIMIT", (tmp_path / "quota", tmp_path / "period"))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(4)))
    (tmp_path / "quota").write_text(quota + "\n")
    (tmp_path / "period").write_text("100000\n")
    assert cores.available_cores() == expected
