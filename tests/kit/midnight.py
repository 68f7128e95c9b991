"""No test sees two days of UTC, and no file two months: both are parts of what is stored, counted and named.

What needs more than Python does not begin shortly before midnight. After the last midnight of a month, a file is given
no fixture of the month before: all are torn down and made again, those of the session too. Tests are imported long
before they run: `tests/kit/test_midnight.py` allows no date there.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Generator
from pathlib import Path
from typing import Final

import pytest

TEST_S: Final = 40
"""Longer than a test takes on a busy machine."""
FILE_S: Final = 180
"""Longer than the tests of a file, or than one of `endurance` or `system`."""

_FILE: Final = pytest.StashKey[Path]()
"""The file whose tests this process runs."""
_MONTH: Final = pytest.StashKey[dt.date]()
"""The month in which its fixtures were made."""


@pytest.hookimpl(
    wrapper=True, tryfirst=True
)  # around that of pytest-timeout: the wait is not of the test
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Wait for the end of a day or a month that is near. Leave no fixture of the month before to a file."""
    if item.get_closest_marker("unit"):
        return (yield)
    stash = item.session.stash
    is_new_file = stash.get(_FILE, None) != item.path
    stash[_FILE] = item.path
    midnight = _midnight(now())
    is_long = item.get_closest_marker("endurance") or item.get_closest_marker("system")
    is_of_month = is_new_file and midnight.day == 1
    left = (midnight - now()).total_seconds()
    if left < (FILE_S if is_long or is_of_month else TEST_S):
        sleep(left)
    month = now().date().replace(day=1)
    if is_new_file and stash.setdefault(_MONTH, month) != month:
        item.session._setupstate.teardown_exact(None)
        stash[_MONTH] = month
    return (yield)


def now() -> dt.datetime:
    """The time in UTC."""
    return dt.datetime.now(dt.UTC)


def sleep(seconds: float) -> None:
    """Sleep; a moment longer than asked, so that the day is over."""
    time.sleep(max(0, seconds) + 0.1)


def _midnight(moment: dt.datetime) -> dt.datetime:
    """The beginning of the next day."""
    return moment.replace(hour=0, minute=0, second=0, microsecond=0) + dt.timedelta(days=1)
