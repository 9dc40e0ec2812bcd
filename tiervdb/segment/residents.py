"""Bounds the memory of the sketches of cold segments: the least recently searched ones are unloaded."""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from typing import Protocol


class Releasable(Protocol):
    """What has memory that it can load again."""

    def release(self) -> None: ...


class Residents:
    """Keeps the sum of what was loaded within ``budget_bytes``; one that is larger by itself stays. Thread-safe."""

    def __init__(self, budget_bytes: int) -> None:
        self._budget = budget_bytes
        self._lock = threading.Lock()
        self._sizes: OrderedDict[weakref.ref[Releasable], int] = OrderedDict()

    @property
    def bytes(self) -> int:
        """Of all that is loaded."""
        with self._lock:
            return sum(size for one, size in self._sizes.items() if one() is not None)

    def used(self, one: Releasable) -> None:
        """Marks it as the most recently used."""
        with self._lock:
            reference = weakref.ref(one)
            if reference in self._sizes:
                self._sizes.move_to_end(reference)

    def grew(self, one: Releasable, size: int) -> None:
        """It has ``size`` bytes loaded now. Others may be released for that."""
        with self._lock:
            gone = self._make_room(one, size)
        for other in gone:
            other.release()

    def _make_room(self, one: Releasable, size: int) -> list[Releasable]:
        reference = weakref.ref(one)
        self._sizes = OrderedDict((r, s) for r, s in self._sizes.items() if r() is not None)
        self._sizes[reference] = size
        self._sizes.move_to_end(reference)
        total, gone = sum(self._sizes.values()), []
        while total > self._budget and len(self._sizes) > 1:
            oldest, freed = self._sizes.popitem(last=False)
            total -= freed
            if (other := oldest()) is not None:
                gone.append(other)
        return gone
