"""When a job is due: by its cron expression, once after any time of sleep, and later after each failure. Pure."""

from __future__ import annotations

from datetime import datetime

from cronsim import CronSim

from tiervdb.types import to_datetime, to_us

FIRST_RETRY_SECONDS = 30.0
LAST_RETRY_SECONDS = 3600.0


def due_at(expression: str, since_us: int, now_us: int) -> int | None:
    """The first time after ``since_us`` that the expression names, if it is not after now; None: nothing is due.

    However many were missed, that is one; what never was done (``since_us`` 0) is due for longest. A ``since_us`` from
    the future (a clock that was set back) counts as now.
    """
    if not expression:
        return None
    if since_us == 0:
        return 0
    fire_us = next_fire(expression, min(since_us, now_us))
    return fire_us if fire_us <= now_us else None


def next_fire(expression: str, after_us: int) -> int:
    """The next time that the expression names, in UTC microseconds."""
    fire: datetime = next(CronSim(expression, to_datetime(after_us)))
    return int(to_us(fire))


def retry_at(failures: int, failed_us: int, luck: float) -> int:
    """When to try again after so many failures in a row, the last at ``failed_us``. ``luck``: from 0 to 1, spreads
    agents that failed together."""
    wait = min(FIRST_RETRY_SECONDS * 2.0 ** (failures - 1), LAST_RETRY_SECONDS)
    return failed_us + round(wait * (0.5 + luck) * 1e6)
