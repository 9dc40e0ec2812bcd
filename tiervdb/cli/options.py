"""Arguments and options that several commands share, each with its meaning beside it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any

import msgspec
import typer

from tiervdb import durations
from tiervdb.cli.failure import JSON
from tiervdb.clock import SystemClock
from tiervdb.errors import InvalidInputError
from tiervdb.types import to_datetime


def _remember_json(ctx: typer.Context, value: bool) -> bool:
    ctx.meta[JSON] = value
    return value


CollectionName = Annotated[str, typer.Argument(metavar="COLLECTION", help="Name of the collection.")]
Json = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON document instead of text.", callback=_remember_json, is_eager=True),
]
Where = Annotated[
    str | None,
    typer.Option("--where", help="Only rows that this SQL expression is true for: \"rank < ? and pos = 'noun'\"."),
]
Params = Annotated[
    list[str] | None,
    typer.Option("--param", help="Value of the next ? in --where, as JSON or plain text. Repeat for each."),
]
Columns = Annotated[
    list[str] | None, typer.Option("--columns", help="Names with commas between them, or * for all. May be repeated.")
]
At = Annotated[str | None, typer.Option("--at", help="Read the database as of this snapshot.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]


def parameters(given: list[str] | None) -> list[Any] | None:
    """``--param`` values: what reads as JSON is that value (5000, true, "05"), everything else is text."""
    return [_parameter(text) for text in given] if given else None


def _parameter(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


def column_names(given: list[str] | str | None) -> list[str] | str | None:
    """``--columns``: None, ``"*"`` or the names, in the order given."""
    if given is None:
        return None
    names = [name.strip() for text in ([given] if isinstance(given, str) else given) for name in text.split(",")]
    return "*" if "*" in names else list(dict.fromkeys(name for name in names if name))


def point_in_time(option: str, given: str | None) -> datetime | None:
    """An ISO time with a zone, or how long ago: ``2h``, ``7d``."""
    if given is None:
        return None
    if (ago := durations.seconds(given)) is not None:
        return to_datetime(SystemClock().now_us()) - timedelta(seconds=ago)
    try:
        time = datetime.fromisoformat(given.replace(" UTC", "+00:00"))
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise InvalidInputError(
            f"{option} {given!r} is not a time; write it with its zone, 2026-01-31T12:00:00Z, or how long ago, 2h or 7d"
        )
    return time


def duration(option: str, given: str | None) -> timedelta | None:
    """How long: ``30m``, ``12h``, ``7d``."""
    if given is None:
        return None
    if (found := durations.seconds(given)) is not None:
        return timedelta(seconds=found)
    raise InvalidInputError(f"{option} {given!r} is not a duration; write a number and s, m, h, d, w or y: 12h, 7d")
