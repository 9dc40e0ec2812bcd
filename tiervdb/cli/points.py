"""Points in history as the command line writes them: latest, a time, seq:7, snapshot:NAME, backup:ID."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from tiervdb.cli.options import point_in_time
from tiervdb.errors import InvalidInputError
from tiervdb.target import Target

_FORMS = "latest, a time with its zone (2026-01-31T12:00:00Z), how long ago (2h, 7d), seq:7, snapshot:NAME or backup:ID"

TargetText = Annotated[str, typer.Option("--target", help=f"Where to: {_FORMS}.")]
Point = Annotated[str, typer.Option("--at", help=f"The earlier state: a snapshot's name, {_FORMS}.")]
Exclusive = Annotated[bool, typer.Option("--exclusive", help="Right before that time or commit, not with it.")]
TimelineId = Annotated[
    str | None, typer.Option("--timeline", help="Whose history is meant; the id or its beginning.  [default: current]")
]


def target(text: str, exclusive: bool = False, timeline: str | None = None) -> Target:
    """The point that a text means. InvalidInputError says what can be written."""
    kind, _, rest = text.partition(":")
    if text == "latest":
        return Target.latest(timeline=timeline)
    if kind == "seq" and rest.isdigit():
        return Target.seq(int(rest), exclusive=exclusive, timeline=timeline)
    if kind in {"snapshot", "backup"} and rest:
        return Target.snapshot(rest) if kind == "snapshot" else Target.backup(rest)
    try:
        time = point_in_time("--target", text)
    except InvalidInputError as error:
        raise InvalidInputError(f"{text!r} is no point in time; write {_FORMS}") from error
    assert isinstance(time, datetime)
    return Target.time(time, exclusive=exclusive, timeline=timeline)


def point(text: str) -> Target | str:
    """As ``target``, where a name alone is that of a snapshot."""
    try:
        return target(text)
    except InvalidInputError:
        return text
