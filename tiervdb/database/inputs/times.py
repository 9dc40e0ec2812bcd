"""Points in time, as users pass them: always with a zone."""

from __future__ import annotations

from datetime import datetime, timedelta

from tiervdb.errors import InvalidInputError
from tiervdb.types import to_us

EXAMPLE = "give datetime(..., tzinfo=UTC), or text like 2026-01-31T12:00:00Z"


def to_time_us(value: object, what: str) -> int:
    """UTC microseconds of an aware datetime or of ISO 8601 text with a zone. Naive times raise InvalidInputError."""
    time = value
    if isinstance(value, str):
        try:
            time = datetime.fromisoformat(value)
        except ValueError as error:
            raise InvalidInputError(f"{what}: {value!r} is not a time; {EXAMPLE}") from error
    if not isinstance(time, datetime):
        raise InvalidInputError(f"{what}: {value!r} is not a time; {EXAMPLE}")
    if time.utcoffset() is None:
        raise InvalidInputError(f"{what}: {value!r} has no time zone; {EXAMPLE}")
    return to_us(time)


def to_expiry_us(value: datetime | timedelta | str | None, now_us: int, what: str) -> int | None:
    """When something expires: a time, or a span from now; None: never. InvalidInputError if that is over already."""
    if value is None:
        return None
    at = now_us + value // timedelta(microseconds=1) if isinstance(value, timedelta) else to_time_us(value, what)
    if at <= now_us:
        raise InvalidInputError(f"{what}: {value!r} is in the past; give a later time")
    return at
