"""A text that is no value of an option is refused in one sentence."""

import argparse
import datetime

import pytest

from pipelines.options.types import OptionType, age, duration, retention


@pytest.mark.parametrize("option", [duration, retention, age])
@pytest.mark.parametrize("hours", [10**8, 10**14])
def test_a_time_span_that_no_date_can_have_is_refused(option: OptionType[datetime.timedelta], hours: int) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is not a"):
        option(f"{hours}h")
    assert datetime.datetime.now(datetime.UTC) - option(f"{10**7}h") < datetime.datetime.now(datetime.UTC)
