"""How often segments were searched of late: counted in memory, so a new process begins at nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tiervdb.clock import Clock

_MICROS = 1e6


@dataclass(frozen=True)
class Access:
    """``searches``: what the searches up to ``last_us``, when the last one was, counted then."""

    searches: float
    last_us: int

    def at(self, now_us: int, half_life: float) -> float:
        """What they count now; a clock that stepped back does not make them count more."""
        return float(self.searches * 0.5 ** (max(0, now_us - self.last_us) / _MICROS / half_life))


class AccessCounts:
    """Decaying counts of the searches whose answers held rows of a segment. Thread-safe."""

    def __init__(self, clock: Clock, half_life: float) -> None:
        self._clock = clock
        self._half_life = half_life
        self._lock = threading.Lock()
        self._known: dict[str, Access] = {}

    def note(self, segments: Iterable[tuple[str, int]]) -> None:
        """Each of these segments had rows in the answers of so many searches."""
        now_us = self._clock.now_us()
        with self._lock:
            for segment, searches in segments:
                before = self._known.get(segment)
                kept = 0.0 if before is None else before.at(now_us, self._half_life)
                self._known[segment] = Access(kept + searches, now_us)

    def inherit(self, gone: Sequence[str], heirs: Sequence[str]) -> None:
        """Segments were merged, within their tier: what holds their rows now counts as the one searched most."""
        now_us = self._clock.now_us()
        with self._lock:
            known = [access for segment in gone if (access := self._known.pop(segment, None)) is not None]
            if known:
                most = max(known, key=lambda access: access.at(now_us, self._half_life))
                self._known.update(dict.fromkeys(heirs, most))

    def of(self, segments: Iterable[str]) -> Mapping[str, Access]:
        """The counts of these segments; those of others, which are gone, are forgotten."""
        with self._lock:
            self._known = {segment: self._known[segment] for segment in segments if segment in self._known}
            return dict(self._known)
