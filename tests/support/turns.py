"""Two actors that take turns at a store: a plan says who makes the next so many calls, so that any race can be had."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from tiervdb.storage.object_store import ByteRange, ObjectStat, ObjectStore
from tiervdb.storage.wrapped_store import WrappedStore

T = TypeVar("T")
Plan = Sequence[tuple[str, int]]  # an actor, and how many calls it makes then


class Turns:
    """Lets calls through as the plan says, and all once it is done. An actor that has ended misses its turns."""

    def __init__(self, plan: Plan) -> None:
        self._plan = list(plan)
        self._ended: set[str] = set()
        self._changed = threading.Condition()
        self.made: dict[str, int] = {}

    def take(self, actor: str) -> None:
        """Returns when it is the actor's turn."""
        with self._changed:
            self._changed.wait_for(lambda: self._may(actor), timeout=30)
            self.made[actor] = self.made.get(actor, 0) + 1
            if self._plan:
                who, left = self._plan[0]
                self._plan[0] = (who, left - 1)
            self._changed.notify_all()

    def end(self, actor: str) -> None:
        """The actor makes no more calls."""
        with self._changed:
            self._ended.add(actor)
            self._changed.notify_all()

    def _may(self, actor: str) -> bool:
        while self._plan and (self._plan[0][1] <= 0 or self._plan[0][0] in self._ended):
            self._plan.pop(0)
        return not self._plan or self._plan[0][0] == actor


class TurnStore(WrappedStore):
    """One actor's way to a store."""

    def __init__(self, inner: ObjectStore, actor: str, turns: Turns) -> None:
        super().__init__(inner)
        self._actor = actor
        self._turns = turns

    def get(self, key: str) -> bytes:
        return self._call(lambda: self.inner.get(key))

    def get_ranges(self, key: str, ranges: Sequence[ByteRange]) -> list[bytes]:
        return self._call(lambda: self.inner.get_ranges(key, ranges))

    def get_file(self, key: str, path: Path) -> None:
        self._call(lambda: self.inner.get_file(key, path))

    def put(self, key: str, data: bytes) -> None:
        self._call(lambda: self.inner.put(key, data))

    def put_file(self, key: str, path: Path) -> None:
        self._call(lambda: self.inner.put_file(key, path))

    def put_if_absent(self, key: str, data: bytes) -> None:
        self._call(lambda: self.inner.put_if_absent(key, data))

    def stat(self, key: str) -> ObjectStat:
        return self._call(lambda: self.inner.stat(key))

    def list(self, prefix: str) -> Iterator[ObjectStat]:
        return iter(self._call(lambda: list(self.inner.list(prefix))))

    def delete(self, key: str) -> None:
        self._call(lambda: self.inner.delete(key))

    def copy_from(self, source: ObjectStore, key: str, target: str) -> None:
        self._call(lambda: self.inner.copy_from(source, key, target))

    def _call(self, call: Callable[[], T]) -> T:
        self._turns.take(self._actor)
        return call()
