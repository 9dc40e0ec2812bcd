"""Values as people read them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

UNITS = ("B", "KB", "MB", "GB", "TB", "PB")


def text(value: Any) -> str:
    """Anything: nothing for None, ``1,234`` for a count, four digits of a float."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, datetime):
        return moment(value)
    if isinstance(value, list | tuple):
        return ", ".join(text(item) for item in value)
    return str(value)


def size(count: int | None) -> str:
    """A number of bytes: ``512 B``, ``4.0 MB`` (a MB is a million bytes)."""
    if count is None:
        return ""
    amount = float(count)
    for unit in UNITS:
        if amount < 999.5 or unit == UNITS[-1]:
            break
        amount /= 1000
    return f"{count} B" if unit == "B" else f"{amount:.1f} {unit}"


def milliseconds(seconds: float | None) -> str:
    """Seconds as ``0.35 ms`` or ``1,250 ms``."""
    if seconds is None:
        return ""
    amount = seconds * 1000
    return f"{amount:.2f} ms" if amount < 100 else f"{amount:,.0f} ms"


def moment(time: datetime | None) -> str:
    """A time to the second, with its zone, in UTC as all of tiervdb's times."""
    return "" if time is None else time.strftime("%Y-%m-%d %H:%M:%S UTC")


def plural(count: int, noun: str) -> str:
    """``1 row``, ``2 rows``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
