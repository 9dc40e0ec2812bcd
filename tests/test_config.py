"""Settings refuse what makes no sense."""

from __future__ import annotations

from typing import Any

import pytest

from tiervdb.config import Options, TierPolicy
from tiervdb.errors import InvalidInputError


@pytest.mark.parametrize("wrong", [{"hot_max_rows": -1}, {"hot_max_bytes": 1.5}, {"hot_max_rows": True}])
def test_limits_are_counts(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match="whole number from 0"):
        TierPolicy(**wrong)


@pytest.mark.parametrize(
    "wrong", [{"flush_floats": -1}, {"cache_bytes": "1GB"}, {"commit_timeout": 0}, {"search_threads": 0}]
)
def test_options_are_numbers_in_range(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        Options(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"low_water": 0},
        {"low_water": 1},
        {"low_water": float("nan")},
        {"demote_after": -1},
        {"demote_after": "7d"},
        {"promote_searches": True},
        {"half_life": 0},
        {"half_life": None},
    ],
)
def test_policies_are_numbers_in_range(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match=rf"TierPolicy\.{next(iter(wrong))}=.*number above 0"):
        TierPolicy(**wrong)


def test_the_defaults_are_fine() -> None:
    assert Options(tiering=TierPolicy(hot_max_rows=0)).tiering == TierPolicy(hot_max_rows=0)
