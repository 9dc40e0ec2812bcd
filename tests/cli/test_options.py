from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tiervdb.cli.options import column_names, duration, parameters, point_in_time
from tiervdb.errors import InvalidInputError


def test_parameters_are_json_where_they_can_be() -> None:
    assert parameters(["5000", "true", "noun", '"05"', "1.5", "null"]) == [5000, True, "noun", "05", 1.5, None]
    assert parameters(None) is None


def test_column_names() -> None:
    assert column_names(None) is None
    assert column_names("*") == "*"
    assert column_names("rank, length") == ["rank", "length"]
    assert column_names("") == []


def test_durations() -> None:
    assert duration("--expires", "90s") == timedelta(seconds=90)
    assert duration("--expires", "2w") == timedelta(days=14)
    assert duration("--expires", None) is None
    for wrong in ("", "7", "d", "7 years", "-1d"):
        with pytest.raises(InvalidInputError, match="--expires"):
            duration("--expires", wrong)


def test_points_in_time() -> None:
    assert point_in_time("--since", "2026-01-31T12:00:00Z") == datetime(2026, 1, 31, 12, tzinfo=UTC)
    ago = point_in_time("--since", "2h")
    assert ago is not None
    assert timedelta(hours=2) <= datetime.now(UTC) - ago < timedelta(hours=2, minutes=5)
    for wrong in ("2026-01-31T12:00:00", "noon", ""):
        with pytest.raises(InvalidInputError, match="--since"):
            point_in_time("--since", wrong)
