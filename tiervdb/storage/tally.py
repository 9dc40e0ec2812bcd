"""Counts of what was asked of a store: in total, and by one search.

    with measured() as tally:
        store.get_ranges(...)
    tally.gets, tally.waves, tally.bytes_read

Each thread (context) measures what it calls itself; blocks may be nested, and every open one counts.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields, replace


@dataclass(slots=True)
class StoreTally:
    """``waves``: reading calls that went to the store, each of them one or more GETs in parallel."""

    gets: int = 0
    waves: int = 0
    bytes_read: int = 0
    puts: int = 0
    bytes_written: int = 0
    stats: int = 0
    lists: int = 0
    deletes: int = 0
    copies: int = 0
    cache_hits: int = 0
    cache_bytes: int = 0

    def add(self, other: StoreTally) -> None:
        for name in _FIELDS:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def __sub__(self, other: StoreTally) -> StoreTally:
        return StoreTally(*(getattr(self, name) - getattr(other, name) for name in _FIELDS))


_FIELDS = tuple(f.name for f in fields(StoreTally))
_open_tallies: ContextVar[tuple[StoreTally, ...]] = ContextVar("open_tallies", default=())


@contextmanager
def measured() -> Iterator[StoreTally]:
    """Counts what this thread asks of counted stores and caches inside the block."""
    tally = StoreTally()
    token = _open_tallies.set((*_open_tallies.get(), tally))
    try:
        yield tally
    finally:
        _open_tallies.reset(token)


class Totals:
    """A tally that many threads add to."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sum = StoreTally()

    def count(self, part: StoreTally) -> None:
        """Adds to the total and to the measured blocks of this thread."""
        with self._lock:
            self._sum.add(part)
        for tally in _open_tallies.get():
            tally.add(part)

    def snapshot(self) -> StoreTally:
        """The counts so far, as a copy."""
        with self._lock:
            return replace(self._sum)
