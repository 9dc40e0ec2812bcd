"""Which calls fail, and how: the same plan drives faulty disks and faulty stores. Everything follows from the seed."""

from __future__ import annotations

import random
import threading
from collections import Counter
from dataclasses import dataclass
from typing import Literal

When = Literal["before", "after"]


@dataclass(frozen=True)
class Fault:
    """``error``: what to raise, or None to flip a bit or cut the end of what is read (``damage``)."""

    error: BaseException | None
    when: When = "before"
    damage: Literal["flip", "cut"] | None = None


@dataclass
class _Rule:
    kind: str
    name_part: str
    fault: Fault
    first: int  # the number of the first matching call that it strikes
    count: int | None  # how many it strikes; None: all from then on
    chance: float
    seen: int = 0


class FaultPlan:
    """Rules, asked at each call. ``kind`` is a call's name or "" for any; ``name_part`` must occur in the file or key.

    Thread-safe. ``calls``: how often each kind was called.
    """

    def __init__(self, seed: int = 0) -> None:
        self.random = random.Random(seed)
        self.calls: Counter[str] = Counter()
        self._rules: list[_Rule] = []
        self._lock = threading.Lock()

    def fail(
        self,
        error: BaseException,
        kind: str = "",
        *,
        name_part: str = "",
        at: int = 1,
        count: int | None = 1,
        when: When = "before",
        chance: float = 1.0,
    ) -> None:
        """Raises ``error`` at the ``at``-th matching call from now and ``count`` times in all."""
        self._add(_Rule(kind, name_part, Fault(error, when), at, count, chance))

    def damage(
        self,
        how: Literal["flip", "cut"],
        kind: str = "",
        *,
        name_part: str = "",
        at: int = 1,
        count: int | None = 1,
        chance: float = 1.0,
    ) -> None:
        """Changes what is read: one bit is flipped, or the end is missing."""
        self._add(_Rule(kind, name_part, Fault(None, "after", how), at, count, chance))

    def heal(self) -> None:
        """Forgets all rules."""
        with self._lock:
            self._rules.clear()

    def due(self, kind: str, name: str) -> Fault | None:
        """The fault that strikes this call, if any."""
        with self._lock:
            self.calls[kind] += 1
            struck = [rule.fault for rule in self._rules if self._strikes(rule, kind, name)]
        return struck[0] if struck else None

    def damaged(self, data: bytes, how: str | None) -> bytes:
        """``data`` with one bit flipped or its end cut off."""
        if not data or how is None:
            return data
        at = self.random.randrange(len(data))
        if how == "cut":
            return data[:at]
        return data[:at] + bytes([data[at] ^ (1 << self.random.randrange(8))]) + data[at + 1 :]

    def _add(self, rule: _Rule) -> None:
        with self._lock:
            self._rules.append(rule)

    def _strikes(self, rule: _Rule, kind: str, name: str) -> bool:
        if rule.kind not in {"", kind} or rule.name_part not in name:
            return False
        rule.seen += 1
        late = rule.count is not None and rule.seen >= rule.first + rule.count
        return rule.seen >= rule.first and not late and (rule.chance >= 1 or self.random.random() < rule.chance)
