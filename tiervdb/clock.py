"""Time as an argument: nothing else in tiervdb reads a clock."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """A source of time."""

    def now_us(self) -> int:
        """Wall clock, UTC microseconds since 1970. May step back."""
        ...

    def monotonic(self) -> float:
        """Seconds on a clock that never steps back. Only differences mean something."""
        ...


class SystemClock:
    """The clocks of the operating system."""

    def now_us(self) -> int:
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        return time.monotonic()


class ManualClock:
    """A clock that moves only when told: for tests and simulations."""

    def __init__(self, start_us: int = 1_700_000_000_000_000) -> None:
        self.us = start_us

    def now_us(self) -> int:
        return self.us

    def monotonic(self) -> float:
        return self.us / 1e6

    def advance(self, seconds: float) -> None:
        """Moves both clocks; negative values model a wall clock that was set back."""
        self.us += round(seconds * 1e6)
