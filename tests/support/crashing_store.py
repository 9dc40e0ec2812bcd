"""An object store whose user dies at a chosen call: before it has an effect, or after, without hearing of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeVar

from tests.support.crash_dir import CrashPoint
from tests.support.stepped_store import SteppedStore
from tiervdb.storage.object_store import ObjectStore

T = TypeVar("T")


class CrashingStore(SteppedStore):
    """``crash_at``: the call to stop at, counted from 1 (None: never); all later ones stop too. ``calls``: how many."""

    def __init__(
        self, inner: ObjectStore, crash_at: int | None = None, when: Literal["before", "after"] = "before"
    ) -> None:
        super().__init__(inner)
        self.calls = 0
        self.trace: list[str] = []
        self._crash_at = crash_at
        self._when = when

    @property
    def crashed(self) -> bool:
        return self._crash_at is not None and self.calls >= self._crash_at

    def around(self, what: str, call: Callable[[], T]) -> T:
        self.calls += 1
        self.trace.append(what)
        here = self.calls == self._crash_at
        if self.crashed and not (here and self._when == "after"):
            raise CrashPoint(f"dead at call {self.calls}, {what}")
        result = call()
        if here:
            raise CrashPoint(f"dead after call {self.calls}, {what}")
        return result
