"""Limits of a backup, restore or copy: how much at once, how many bytes and requests a second."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

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


class GivingWay:
    """While anybody is inside, threads that wait for the interpreter get it within half a millisecond, not five.

    So commits beside a backup wait less. The setting is one of the whole process, and is put back by the last to leave.
    """

    _SECONDS = 0.0005

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before = 0.0

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._before = sys.getswitchinterval()
                sys.setswitchinterval(min(self._before, self._SECONDS))
            self._inside += 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                sys.setswitchinterval(self._before)


giving_way = GivingWay()
