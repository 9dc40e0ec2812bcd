from __future__ import annotations

import pytest

from tiervdb.agent import due

HOUR = 3600 * 1_000_000
DAY = 24 * HOUR
MONDAY = 1_795_392_000_000_000  # 2026-11-23 00:00 UTC


def test_what_never_was_done_is_due_at_once() -> None:
    assert due.due_at("0 3 * * *", 0, MONDAY) == 0
    assert due.due_at("", 0, MONDAY) is None


def test_it_is_due_at_the_next_time_and_not_before() -> None:
    assert due.due_at("0 3 * * *", MONDAY, MONDAY + 3 * HOUR - 1) is None
    assert due.due_at("0 3 * * *", MONDAY, MONDAY + 3 * HOUR) == MONDAY + 3 * HOUR
    assert due.due_at("0 3 * * *", MONDAY + 3 * HOUR, MONDAY + 4 * HOUR) is None


def test_a_week_of_sleep_is_one_job() -> None:
    missed = due.due_at("*/5 * * * *", MONDAY, MONDAY + 7 * DAY)
    assert missed == MONDAY + HOUR // 12
    assert due.due_at("*/5 * * * *", MONDAY + 7 * DAY, MONDAY + 7 * DAY + 1) is None


def test_a_clock_that_was_set_back_does_not_stop_it() -> None:
    future = MONDAY + 365 * DAY
    assert due.due_at("0 3 * * *", future, MONDAY) is None
    assert due.due_at("* * * * *", future, MONDAY) is None  # the next minute, not the next year
    assert due.next_fire("* * * * *", MONDAY) == MONDAY + HOUR // 60


@pytest.mark.parametrize(("failures", "least", "most"), [(1, 15, 45), (2, 30, 90), (4, 120, 360), (20, 1800, 5400)])
def test_retries_come_later_and_spread(failures: int, least: float, most: float) -> None:
    assert due.retry_at(failures, 0, 0.0) == least * 1_000_000
    assert due.retry_at(failures, 0, 1.0) == most * 1_000_000
