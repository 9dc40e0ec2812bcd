"""An object store that counts what is asked of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from tiervdb.storage.object_store import ByteRange, ObjectStat, ObjectStore
from tiervdb.storage.tally import StoreTally, Totals
from tiervdb.storage.wrapped_store import WrappedStore


class CountingStore(WrappedStore):
    """Passes everything on and counts it, failed calls too. ``snapshot()`` gives the totals; see also ``measured``."""

    def __init__(self, inner: ObjectStore) -> None:
        super().__init__(inner)
        self._totals = Totals()

    def snapshot(self) -> StoreTally:
        """Everything since the store was made."""
        return self._totals.snapshot()

    def get(self, key: str) -> bytes:
        self._totals.count(StoreTally(gets=1, waves=1))
        data = self.inner.get(key)
        self._totals.count(StoreTally(bytes_read=len(data)))
        return data

    def get_ranges(self, key: str, ranges: Sequence[ByteRange]) -> list[bytes]:
        if gets := sum(1 for r in ranges if r.length):
            self._totals.count(StoreTally(gets=gets, waves=1))
        parts = self.inner.get_ranges(key, ranges)
        self._totals.count(StoreTally(bytes_read=sum(map(len, parts))))
        return parts

    def get_file(self, key: str, path: Path) -> None:
        self._totals.count(StoreTally(gets=1, waves=1))
        self.inner.get_file(key, path)
        self._totals.count(StoreTally(bytes_read=path.stat().st_size))

    def put(self, key: str, data: bytes) -> None:
        self._totals.count(StoreTally(puts=1, bytes_written=len(data)))
        self.inner.put(key, data)

    def put_file(self, key: str, path: Path) -> None:
        self._totals.count(StoreTally(puts=1))
        self.inner.put_file(key, path)
        self._totals.count(StoreTally(bytes_written=path.stat().st_size))

    def put_if_absent(self, key: str, data: bytes) -> None:
        self._totals.count(StoreTally(puts=1, bytes_written=len(data)))
        self.inner.put_if_absent(key, data)

    def put_if_match(self, key: str, data: bytes, etag: str) -> str:
        self._totals.count(StoreTally(puts=1, bytes_written=len(data)))
        return self.inner.put_if_match(key, data, etag)

    def stat(self, key: str) -> ObjectStat:
        self._totals.count(StoreTally(stats=1))
        return self.inner.stat(key)

    def list(self, prefix: str) -> Iterator[ObjectStat]:
        self._totals.count(StoreTally(lists=1))
        return self.inner.list(prefix)

    def delete(self, key: str) -> None:
        self._totals.count(StoreTally(deletes=1))
        self.inner.delete(key)

    def copy(self, source: str, target: str) -> None:
        self._totals.count(StoreTally(copies=1))
        self.inner.copy(source, target)

    def copy_from(self, source: ObjectStore, key: str, target: str) -> None:
        self._totals.count(StoreTally(copies=1))
        self.inner.copy_from(source, key, target)
