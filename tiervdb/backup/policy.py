"""What is to be kept for how long: values that a retention policy consists of."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import timedelta

from tiervdb import durations
from tiervdb.errors import InvalidInputError

Duration = str | timedelta | None


@dataclass(frozen=True)
class Policy:
    """What ``Repository.expire`` keeps. Durations: "14d", "12h", "2w", or a timedelta; None: not at all.

    ``pitr``: every commit and moment of the time until now stays restorable. ``hourly``, ``daily``, ``weekly``,
    ``monthly``, ``yearly``: for each of the last so many hours, days, weeks, ... (UTC), the newest backup in it stays,
    as a single restore point. ``min_backups``: so many of the newest stay whatever their age. ``require_restorable``:
    what of this time until now can be restored must stay so, else nothing is expired and StateError says why. ``lock``:
    where the store has Object Lock, what is kept cannot be deleted by anybody for so long; each expiry extends it.
    """

    pitr: Duration = "14d"
    hourly: int = 0
    daily: int = 30
    weekly: int = 12
    monthly: int = 24
    yearly: int = 0
    min_backups: int = 2
    require_restorable: Duration = "7d"
    lock: Duration = "7d"

    def __post_init__(self) -> None:
        for name in ("pitr", "require_restorable", "lock"):
            to_seconds(name, getattr(self, name))
        for name in ("hourly", "daily", "weekly", "monthly", "yearly"):
            _require_whole(name, getattr(self, name), 0)
        _require_whole("min_backups", self.min_backups, 1)

    def us(self, name: str) -> int:
        """A duration in microseconds; 0 for None."""
        return round(to_seconds(name, getattr(self, name)) * 1e6)

    def __str__(self) -> str:
        said = [(field.name, getattr(self, field.name)) for field in fields(self)]
        return ", ".join(f"{name}={_text(value)}" for name, value in said if value not in {0, None})


def to_seconds(name: str, given: Duration) -> float:
    """InvalidInputError for what is no duration."""
    if given is None:
        return 0.0
    if isinstance(given, timedelta) and given >= timedelta(0):
        return given.total_seconds()
    if isinstance(given, str) and (found := durations.seconds(given)) is not None:
        return found
    raise InvalidInputError(f'Policy: {name}={given!r} is no duration; give "14d", "12h", a timedelta, or None')


def _require_whole(name: str, given: object, least: int) -> None:
    if isinstance(given, bool) or not isinstance(given, int) or given < least:
        raise InvalidInputError(f"Policy: {name}={given!r} is not usable; give a whole number from {least} on")


def _text(value: object) -> str:
    return f"{value.total_seconds():.0f}s" if isinstance(value, timedelta) else str(value)
