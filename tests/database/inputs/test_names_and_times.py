"""Names, hints and points in time."""

from __future__ import annotations

import datetime as dt

import pytest

from tiervdb.database.inputs.names import check_name, hint
from tiervdb.database.inputs.times import to_expiry_us, to_time_us
from tiervdb.errors import InvalidInputError

NOW = 1_700_000_000_000_000


def test_a_hint_names_the_nearest_and_all() -> None:
    assert hint("rnak", ["rank", "pos"]) == "did you mean 'rank'? there are: 'pos', 'rank'"
    assert hint("RANK", ["Rank"]) == "did you mean 'Rank'? there are: 'Rank'"
    assert hint("zzz", ["rank"]) == "there are: 'rank'"
    assert hint("zzz", []) == "there are none"
    assert hint("zzz", map(str, range(30))).endswith(", ...")


@pytest.mark.parametrize("name", ["words", "größe", "a b", "日本語", "x" * 200])
def test_usable_names(name: str) -> None:
    assert check_name(name, "the name") == name


@pytest.mark.parametrize("name", ["", " a", "a ", "a\nb", "a\0", "x" * 201, "\u200b", None, 3, b"a"])
def test_unusable_names(name: object) -> None:
    with pytest.raises(InvalidInputError, match="the name"):
        check_name(name, "the name")


def test_times_have_a_zone() -> None:
    assert to_time_us(dt.datetime(1970, 1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=1))), "t") == 0
    assert to_time_us("1970-01-01T00:00:01Z", "t") == 1_000_000
    for naive in (dt.datetime(2026, 1, 1), "2026-01-01T00:00:00"):
        with pytest.raises(InvalidInputError, match="no time zone"):
            to_time_us(naive, "t")
    for nonsense in ("yesterday", 5, None, dt.date(2026, 1, 1)):
        with pytest.raises(InvalidInputError, match="not a time"):
            to_time_us(nonsense, "t")


def test_expiry_is_a_time_or_a_span_from_now() -> None:
    assert to_expiry_us(None, NOW, "e") is None
    assert to_expiry_us(dt.timedelta(hours=1), NOW, "e") == NOW + 3_600_000_000
    assert to_expiry_us("2100-01-01T00:00:00Z", NOW, "e") == 4_102_444_800_000_000
    for over in (dt.timedelta(0), dt.timedelta(seconds=-1), "2000-01-01T00:00:00Z"):
        with pytest.raises(InvalidInputError, match="in the past"):
            to_expiry_us(over, NOW, "e")
