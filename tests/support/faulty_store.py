"""An object store that fails: errors before and after the effect, damaged and short answers, slow, away."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from tests.support.fault_plan import FaultPlan
from tiervdb.errors import StoreUnavailableError
from tiervdb.storage.object_store import ByteRange, ObjectStat, ObjectStore
from tiervdb.storage.wrapped_store import WrappedStore

T = TypeVar("T")


class FaultyStore(WrappedStore):
    """Kinds of calls for ``plan`` are the methods' names; "" is any.

    store.plan.fail(StoreUnavailableError("reply lost"), "put", when="after")
    store.plan.damage("flip", "get_ranges", count=None)
    store.away = True
    store.delay = lambda: clock.advance(0.03)
    """

    def __init__(self, inner: ObjectStore, seed: int = 0) -> None:
        super().__init__(inner)
        self.plan = FaultPlan(seed)
        self.away = False
        self.delay: Callable[[], None] = lambda: None  # called at each request

    def get(self, key: str) -> bytes:
        return self._call("get", key, lambda: self.inner.get(key), self.plan.damaged)

    def get_ranges(self, key: str, ranges: Sequence[ByteRange]) -> list[bytes]:
        def damaged(parts: list[bytes], how: str | None) -> list[bytes]:
            at = self.plan.random.randrange(len(parts)) if parts else 0
            return [self.plan.damaged(part, how) if number == at else part for number, part in enumerate(parts)]

        return self._call("get_ranges", key, lambda: self.inner.get_ranges(key, ranges), damaged)

    def get_file(self, key: str, path: Path) -> None:
        def damaged(_: None, how: str | None) -> None:
            path.write_bytes(self.plan.damaged(path.read_bytes(), how))

        self._call("get_file", key, lambda: self.inner.get_file(key, path), damaged)

    def put(self, key: str, data: bytes) -> None:
        self._call("put", key, lambda: self.inner.put(key, data))

    def put_file(self, key: str, path: Path) -> None:
        self._call("put_file", key, lambda: self.inner.put_file(key, path))

    def put_if_absent(self, key: str, data: bytes) -> None:
        self._call("put_if_absent", key, lambda: self.inner.put_if_absent(key, data))

    def put_if_match(self, key: str, data: bytes, etag: str) -> str:
        return self._call("put_if_match", key, lambda: self.inner.put_if_match(key, data, etag))

    def stat(self, key: str) -> ObjectStat:
        return self._call("stat", key, lambda: self.inner.stat(key))

    def list(self, prefix: str) -> Iterator[ObjectStat]:
        return self._call("list", prefix, lambda: self.inner.list(prefix))

    def delete(self, key: str) -> None:
        self._call("delete", key, lambda: self.inner.delete(key))

    def copy(self, source: str, target: str) -> None:
        self._call("copy", target, lambda: self.inner.copy(source, target))

    def copy_from(self, source: ObjectStore, key: str, target: str) -> None:
        self._call("copy_from", target, lambda: self.inner.copy_from(source, key, target))

    def _call(
        self, kind: str, key: str, call: Callable[[], T], damaged: Callable[[T, str | None], T] | None = None
    ) -> T:
        self.delay()
        if self.away:
            raise StoreUnavailableError(f"{kind} {key} in {self.url}: the store is away; try again later")
        fault = self.plan.due(kind, key)
        if fault and fault.error and fault.when == "before":
            raise fault.error
        answer = call()
        if fault and fault.error:
            raise fault.error
        return damaged(answer, fault.damage) if fault and damaged else answer
