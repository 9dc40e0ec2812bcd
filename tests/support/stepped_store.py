"""An object store whose every call goes through one hook: the base of those that crash, take turns and count."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from tiervdb.storage.object_store import ByteRange, ObjectStat, ObjectStore
from tiervdb.storage.wrapped_store import WrappedStore

T = TypeVar("T")


class SteppedStore(WrappedStore):
    """Calls ``around`` with what is done and a function that does it."""

    def around(self, what: str, call: Callable[[], T]) -> T:
        raise NotImplementedError

    def get(self, key: str) -> bytes:
        return self.around(f"get {key}", lambda: self.inner.get(key))

    def get_ranges(self, key: str, ranges: Sequence[ByteRange]) -> list[bytes]:
        return self.around(f"get_ranges {key}", lambda: self.inner.get_ranges(key, ranges))

    def get_file(self, key: str, path: Path) -> None:
        self.around(f"get_file {key}", lambda: self.inner.get_file(key, path))

    def put(self, key: str, data: bytes) -> None:
        self.around(f"put {key}", lambda: self.inner.put(key, data))

    def put_file(self, key: str, path: Path) -> None:
        self.around(f"put_file {key}", lambda: self.inner.put_file(key, path))

    def put_if_absent(self, key: str, data: bytes) -> None:
        self.around(f"put_if_absent {key}", lambda: self.inner.put_if_absent(key, data))

    def stat(self, key: str) -> ObjectStat:
        return self.around(f"stat {key}", lambda: self.inner.stat(key))

    def list(self, prefix: str) -> Iterator[ObjectStat]:
        return iter(self.around(f"list {prefix}", lambda: list(self.inner.list(prefix))))

    def delete(self, key: str) -> None:
        self.around(f"delete {key}", lambda: self.inner.delete(key))

    def copy_from(self, source: ObjectStore, key: str, target: str) -> None:
        self.around(f"copy_from {key}", lambda: self.inner.copy_from(source, key, target))
