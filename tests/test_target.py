"""Points in history."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from tiervdb.errors import InvalidInputError
from tiervdb.target import Target

NOON = dt.datetime(2026, 1, 31, 12, tzinfo=dt.UTC)


def test_each_kind_shows_itself() -> None:
    assert str(Target.latest()) == "latest"
    assert str(Target.seq(7)) == "seq 7"
    assert str(Target.snapshot("x")) == "snapshot x"
    assert str(Target.time(NOON, exclusive=True)) == "before time 2026-01-31T12:00:00+00:00"
    assert Target.time("2026-01-31T12:00:00Z") == Target.time(NOON)


@pytest.mark.parametrize("time", ["noon", "2026-01-31T12:00:00", dt.datetime(2026, 1, 31), 5, None])
def test_times_need_a_zone(time: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"Target\.time"):
        Target.time(time)


@pytest.mark.parametrize("seq", [-1, True, 1.0, "7"])
def test_seqs_are_whole_numbers(seq: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"Target\.seq"):
        Target.seq(seq)
