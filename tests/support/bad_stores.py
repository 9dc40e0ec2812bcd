"""Object stores that do not do what they say, each in one way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from tiervdb.errors import ObjectNotFoundError, StoreRefusedError, StoreUnavailableError
from tiervdb.storage.object_store import ByteRange, ObjectStat, ObjectStore, check_length
from tiervdb.storage.wrapped_store import WrappedStore


class IgnoresConditions(WrappedStore):
    """Says success and overwrites, whatever was there."""

    def put_if_absent(self, key: str, data: bytes) -> None:
        self.inner.put(key, data)

    def put_if_match(self, key: str, data: bytes, etag: str) -> str:
        self.inner.put(key, data)
        return self.inner.stat(key).etag


class LosesReplies(WrappedStore):
    """Every write is done and then reported as failed."""

    def put(self, key: str, data: bytes) -> None:
        self.inner.put(key, data)
        raise StoreUnavailableError(f"writing {key}: the reply was lost")

    def put_if_absent(self, key: str, data: bytes) -> None:
        self.inner.put_if_absent(key, data)
        raise StoreUnavailableError(f"creating {key}: the reply was lost")


class StaleLists(WrappedStore):
    """A listing shows nothing that was written since this store was opened."""

    def __init__(self, inner: ObjectStore) -> None:
        super().__init__(inner)
        self._old = {found.key for found in inner.list("")}

    def list(self, prefix: str) -> Iterator[ObjectStat]:
        return (found for found in self.inner.list(prefix) if found.key in self._old)


class Slow(WrappedStore):
    """Each read takes its time on the clock that ``wait`` moves."""

    def __init__(self, inner: ObjectStore, wait: Callable[[], None]) -> None:
        super().__init__(inner)
        self._wait = wait

    def get(self, key: str) -> bytes:
        self._wait()
        return self.inner.get(key)


class ServerErrors(WrappedStore):
    """Answers every upload with an error of its own."""

    def put(self, key: str, data: bytes) -> None:
        raise StoreUnavailableError(f"writing {key} in {self.url}: the store answered 503; try again later")

    def put_if_absent(self, key: str, data: bytes) -> None:
        self.put(key, data)


class ReadOnlyKey(WrappedStore):
    """Refuses every write."""

    def put(self, key: str, data: bytes) -> None:
        raise StoreRefusedError(f"writing {key} in {self.url}: the store refused (AccessDenied)")

    def put_if_absent(self, key: str, data: bytes) -> None:
        self.put(key, data)


class Truncates(WrappedStore):
    """The last byte of what is read is missing."""

    def get(self, key: str) -> bytes:
        return self.inner.get(key)[:-1]

    def get_ranges(self, key: str, ranges: Sequence[ByteRange]) -> list[bytes]:
        parts = self.inner.get_ranges(key, ranges)
        return [check_length(part[:-1], r, key, self.url) for part, r in zip(parts, ranges, strict=True)]


class IgnoresRanges(WrappedStore):
    """Returns the whole object for any range; as every store does, it notices that the length is not as asked."""

    def get_ranges(self, key: str, ranges: Sequence[ByteRange]) -> list[bytes]:
        return [check_length(self.inner.get(key), r, key, self.url) for r in ranges]


class WrongRanges(WrappedStore):
    """Ranges come from the start of the object."""

    def get_ranges(self, key: str, ranges: Sequence[ByteRange]) -> list[bytes]:
        return self.inner.get_ranges(key, [ByteRange(0, r.length) for r in ranges])


class WrongBytes(WrappedStore):
    """One bit of the first byte of what is read is flipped."""

    def get(self, key: str) -> bytes:
        return _flipped(self.inner.get(key))

    def get_ranges(self, key: str, ranges: Sequence[ByteRange]) -> list[bytes]:
        return [_flipped(part) for part in self.inner.get_ranges(key, ranges)]


class KeepsDeleted(WrappedStore):
    """Deletes nothing."""

    def delete(self, key: str) -> None:
        return


class RefusesDeletes(WrappedStore):
    """Lacks the permission to delete."""

    def delete(self, key: str) -> None:
        raise StoreRefusedError(f"deleting {key} in {self.url}: the store refused (AccessDenied)")


class ReadsOldVersions(WrappedStore):
    """A replaced object keeps its first bytes for whoever reads it."""

    def __init__(self, inner: ObjectStore) -> None:
        super().__init__(inner)
        self._first: dict[str, bytes] = {}

    def put(self, key: str, data: bytes) -> None:
        self._first.setdefault(key, data)
        self.inner.put(key, data)

    def get(self, key: str) -> bytes:
        try:
            return self._first[key]
        except KeyError:
            return self.inner.get(key)


class FindsEverything(WrappedStore):
    """Says of any object that it exists."""

    def stat(self, key: str) -> ObjectStat:
        try:
            return self.inner.stat(key)
        except ObjectNotFoundError:
            return ObjectStat(key, 0, "", 0)


def _flipped(data: bytes) -> bytes:
    return bytes([data[0] ^ 1]) + data[1:] if data else data
