"""What all wrappers of an object store share: they pass on what they do not change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from tiervdb.storage.object_store import ByteRange, ObjectStat, ObjectStore


class WrappedStore:
    """See ``ObjectStore``. Every call goes to ``inner``."""

    def __init__(self, inner: ObjectStore) -> None:
        self.inner = inner

    @property
    def url(self) -> str:
        return self.inner.url

    @property
    def conditional(self) -> bool:
        return self.inner.conditional

    def prepare(self) -> None:
        self.inner.prepare()

    def get(self, key: str) -> bytes:
        return self.inner.get(key)

    def get_ranges(self, key: str, ranges: Sequence[ByteRange]) -> list[bytes]:
        return self.inner.get_ranges(key, ranges)

    def get_file(self, key: str, path: Path) -> None:
        self.inner.get_file(key, path)

    def put(self, key: str, data: bytes) -> None:
        self.inner.put(key, data)

    def put_file(self, key: str, path: Path) -> None:
        self.inner.put_file(key, path)

    def put_if_absent(self, key: str, data: bytes) -> None:
        self.inner.put_if_absent(key, data)

    def put_if_match(self, key: str, data: bytes, etag: str) -> str:
        return self.inner.put_if_match(key, data, etag)

    def stat(self, key: str) -> ObjectStat:
        return self.inner.stat(key)

    def list(self, prefix: str) -> Iterator[ObjectStat]:
        return self.inner.list(prefix)

    def delete(self, key: str) -> None:
        self.inner.delete(key)

    def copy(self, source: str, target: str) -> None:
        self.inner.copy(source, target)

    def copy_from(self, source: ObjectStore, key: str, target: str) -> None:
        self.inner.copy_from(source, key, target)

    def close(self) -> None:
        self.inner.close()


def unwrapped(store: ObjectStore) -> ObjectStore:
    """The store itself, without what was wrapped around it."""
    while isinstance(store, WrappedStore):
        store = store.inner
    return store
