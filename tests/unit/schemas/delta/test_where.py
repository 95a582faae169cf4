"""Conditions as in SQL: which rows they take, and what is said of those that are none."""

import datetime

import pyarrow as pa
import pytest

from schemas.delta import parse_where
from schemas.errors import UsageError

ROWS = pa.table(
    {
        "label": ["cat", "dog", None, "it's"],
        "width": pa.array([100, 640, 800, 50], pa.int32()),
        "score": [0.5, -1.5, 2.0, None],
        "ds": [datetime.date(2026, 1, day) for day in (1, 2, 3, 4)],
        "old": [True, False, True, False],
        "a column": ["x", "y", "z", "x"],
        "labels": [["cat"], [], None, ["dog"]],
    }
)

TAKEN = {
    "label = 'cat'": [0],
    "label == 'cat' or label='dog'": [0, 1],
    "label <> 'cat'": [1, 3],
    "label = 'it''s'": [3],
    "label IN ('cat', 'it''s')": [0, 3],
    "label NOT IN ('cat')": [1, 2, 3],
    "label IS NULL": [2],
    "label is not null and width>=100": [0, 1],
    "label LIKE '%o%'": [1],
    "NOT label LIKE 'c%'": [1, 3],
    "width < 640 AND (old = true OR label = 'it''s')": [0, 3],
    "width < 640 AND old = true OR width = 800": [0, 2],
    "NOT (width < 640)": [1, 2],
    "score <= -1.5e0": [1],
    "ds >= '2026-01-03'": [2, 3],
    "\"a column\" = 'x'": [0, 3],
}

REFUSED = {
    "": "it ends early",
    "label": "it ends early",
    "label =": "it ends early",
    "label = cat": "'cat' is no value; texts stand in single quotes",
    "lable = 'cat'": "no column 'lable'; did you mean 'label'",
    "label = 'cat' 'dog'": "''dog'' stands where it cannot",
    "label = 'cat": "cannot be read",
    "width > 'wide'": r"the column 'width' \(int32\) cannot be compared with 'wide'",
    "ds = '2026-13-01'": r"the column 'ds' \(date32\[day\]\) cannot be compared",
    "labels = 'cat'": "the column 'labels' holds lists",
    "width LIKE '1%'": "holds no text for LIKE",
    "(label = 'cat'": "it ends early",
    "label IN ()": "'\\)' is no value",
    "label = 'a'; DROP TABLE x": "cannot be read",
    "label ~ 'cat'": "cannot be read",
}


@pytest.mark.parametrize("text", TAKEN)
def test_a_condition_takes_its_rows(text: str) -> None:
    numbered = ROWS.append_column("row", pa.array(range(4)))
    assert numbered.filter(parse_where(text, ROWS.schema))["row"].to_pylist() == TAKEN[text]


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_no_condition_is_one_sentence(text: str) -> None:
    with pytest.raises(UsageError, match=REFUSED[text]) as refused:
        parse_where(text, ROWS.schema)
    assert "\n" not in str(refused.value)
