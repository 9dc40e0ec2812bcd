"""An object store whose user dies at a chosen call: before it has an effect, or after, without hearing of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, TypeVar

from tests.support.crash_dir import CrashPoint
from tiervdb.storage.object_store import ByteRange, ObjectStat, ObjectStore
from tiervdb.storage.wrapped_store import WrappedStore

T = TypeVar("T")


class CrashingStore(WrappedStore):
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

    def get(self, key: str) -> bytes:
        return self._call(f"get {key}", lambda: self.inner.get(key))

    def get_ranges(self, key: str, ranges: Sequence[ByteRange]) -> list[bytes]:
        return self._call(f"get_ranges {key}", lambda: self.inner.get_ranges(key, ranges))

    def get_file(self, key: str, path: Path) -> None:
        self._call(f"get_file {key}", lambda: self.inner.get_file(key, path))

    def put(self, key: str, data: bytes) -> None:
        self._call(f"put {key}", lambda: self.inner.put(key, data))

    def put_file(self, key: str, path: Path) -> None:
        self._call(f"put_file {key}", lambda: self.inner.put_file(key, path))

    def put_if_absent(self, key: str, data: bytes) -> None:
        self._call(f"put_if_absent {key}", lambda: self.inner.put_if_absent(key, data))

    def stat(self, key: str) -> ObjectStat:
        return self._call(f"stat {key}", lambda: self.inner.stat(key))

    def list(self, prefix: str) -> Iterator[ObjectStat]:
        return iter(self._call(f"list {prefix}", lambda: list(self.inner.list(prefix))))

    def delete(self, key: str) -> None:
        self._call(f"delete {key}", lambda: self.inner.delete(key))

    def copy_from(self, source: ObjectStore, key: str, target: str) -> None:
        self._call(f"copy_from {key}", lambda: self.inner.copy_from(source, key, target))

    def _call(self, what: str, call: Callable[[], T]) -> T:
        self.calls += 1
        self.trace.append(what)
        here = self.calls == self._crash_at
        if self.crashed and not (here and self._when == "after"):
            raise CrashPoint(f"dead at call {self.calls}, {what}")
        result = call()
        if here:
            raise CrashPoint(f"dead after call {self.calls}, {what}")
        return result
