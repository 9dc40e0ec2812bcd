"""Limits of a backup, restore or copy: how much at once, how many bytes and requests a second."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from tiervdb.clock import Clock
from tiervdb.errors import InvalidInputError


@dataclass(frozen=True)
class Limits:
    """``parallel``: objects in flight. None: as fast as it goes."""

    parallel: int = 8
    bytes_per_second: float | None = None
    requests_per_second: float | None = None

    def __post_init__(self) -> None:
        if isinstance(self.parallel, bool) or not isinstance(self.parallel, int) or self.parallel < 1:
            raise InvalidInputError(f"Limits.parallel={self.parallel!r} is not usable; give a whole number from 1")
        for name in ("bytes_per_second", "requests_per_second"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or not value > 0):
                raise InvalidInputError(f"Limits.{name}={value!r} is not usable; give a number above 0, or None")


UNLIMITED = Limits()


class Pace:
    """Makes threads wait so that all together keep to the limits. ``sleep``: replaced in tests."""

    def __init__(self, limits: Limits, clock: Clock, sleep: Callable[[float], None] = time.sleep) -> None:
        self._limits = limits
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._free_at = clock.monotonic()

    def request(self, size: int) -> None:
        """Waits until a request of ``size`` bytes fits."""
        limits = self._limits
        cost = size / limits.bytes_per_second if limits.bytes_per_second else 0.0
        cost = max(cost, 1 / limits.requests_per_second if limits.requests_per_second else 0.0)
        if not cost:
            return
        with self._lock:
            now = self._clock.monotonic()
            start = max(now, self._free_at)
            self._free_at = start + cost
        if start > now:
            self._sleep(start - now)
