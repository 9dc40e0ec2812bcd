"""Points in a database's history."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from tiervdb.errors import InvalidInputError

Kind = Literal["latest", "time", "seq", "snapshot", "backup"]


@dataclass(frozen=True)
class Target:
    """A point in history; make one with ``Target.latest()``, ``.time()``, ``.seq()``, ``.snapshot()``, ``.backup()``.

    ``timeline``: an id, whose history is meant; of a repository only, which knows several. None: the current one's.
    """

    kind: Kind
    value: datetime | int | str | None = None
    exclusive: bool = False
    timeline: str | None = None

    @classmethod
    def latest(cls, *, timeline: str | None = None) -> Target:
        """The newest commit."""
        return cls("latest", timeline=timeline)

    @classmethod
    def time(cls, time: datetime | str, *, exclusive: bool = False, timeline: str | None = None) -> Target:
        """The last commit at or before a time; before it, if exclusive.

        ``time``: an aware datetime, or ISO 8601 text with a zone. InvalidInputError for a naive one.
        """
        at = _parsed(time) if isinstance(time, str) else time
        if not isinstance(at, datetime) or at.utcoffset() is None:
            raise InvalidInputError(f"Target.time: {time!r} is not a time with a zone; write 2026-01-31T12:00:00Z")
        return cls("time", at, exclusive, timeline)

    @classmethod
    def seq(cls, seq: int, *, exclusive: bool = False, timeline: str | None = None) -> Target:
        """The state right after the commit of this number, or right before it if exclusive; 0 is the empty database."""
        if isinstance(seq, bool) or not isinstance(seq, int) or seq < 0:
            raise InvalidInputError(f"Target.seq: {seq!r} is not a commit's number; db.log() lists them")
        if exclusive and not seq:
            raise InvalidInputError("Target.seq: there is no state before the empty database, 0")
        return cls("seq", seq, exclusive, timeline)

    @classmethod
    def snapshot(cls, name: str) -> Target:
        """What a snapshot of that name holds."""
        return cls("snapshot", name)

    @classmethod
    def backup(cls, id: str) -> Target:
        """The state that a backup of a repository holds: its id, the beginning of it, or its label."""
        return cls("backup", id)

    def __str__(self) -> str:
        value = self.value.isoformat() if isinstance(self.value, datetime) else self.value
        before = "before " if self.exclusive else ""
        on = f" of timeline {self.timeline}" if self.timeline is not None else ""
        return (self.kind if value is None else f"{before}{self.kind} {value}") + on


def _parsed(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidInputError(f"Target.time: {text!r} is not a time; write 2026-01-31T12:00:00Z") from error
