"""A disk cache of ranges of immutable objects, and the store that reads through it.

The cache is a folder of *slabs*: files ``<number>.ranges`` to which entries are appended, the oldest numbered lowest.
An entry is a header (magic, key length, start, length, CRC-32C of the data), the key, a CRC-32C of both, and the data.
Nothing is synced: an entry that a crash, or anybody, damaged is a miss. To make room the oldest slab goes; those of its
entries that were used since are carried over into the newest, so what is used stays.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from sys import intern

from crc32c import crc32c

from tiervdb.errors import InvalidInputError, StorageError
from tiervdb.storage.coalesce import coalesce, cut
from tiervdb.storage.local_dir import AppendFile, LocalDir
from tiervdb.storage.object_store import ByteRange, ObjectStore
from tiervdb.storage.tally import StoreTally, Totals
from tiervdb.storage.wrapped_store import WrappedStore

_SUFFIX = ".ranges"
_HEADER = struct.Struct("<4sIQQI")  # magic, key length, start, length, CRC of the data
_CHECK = struct.Struct("<I")  # CRC of the header and the key
_MAGIC = b"TVRC"
_SLABS = 16  # the budget is divided into so many slabs
_LARGEST_SLAB = 64 << 20
_CARRIED = 0.5  # of a slab at most, so that making room always makes some

_Wanted = tuple[str, int, int]  # key, start, length


@dataclass(slots=True)
class _Entry:
    slab: int
    offset: int  # of the data
    check: int
    used: bool = False


@dataclass(slots=True)
class _Slab:
    size: int = 0
    entries: list[_Wanted] = field(default_factory=list)


class RangeCache:
    """Keeps (key, start, length) -> bytes within a byte budget, across restarts. Thread-safe, never raises.

    Damage, a full disk and files that somebody deletes are misses. Several processes may use one folder; each sees what
    was there when it began and what it adds, and may delete the others' oldest. Keys must never be given new content.
    """

    def __init__(self, local: LocalDir, folder: str = "cache", budget_bytes: int = 1 << 30) -> None:
        if budget_bytes < 0:
            raise InvalidInputError(f"a cache cannot have {budget_bytes} bytes: give 0 or more")
        self._local = local
        self._folder = folder
        self._budget = budget_bytes
        self._slab_bytes = min(budget_bytes // _SLABS, _LARGEST_SLAB)
        self._lock = threading.RLock()
        self._entries: dict[_Wanted, _Entry] = {}
        self._slabs: dict[int, _Slab] = {}  # oldest first
        self._open: tuple[int, AppendFile] | None = None
        self._loaded = False

    @property
    def budget(self) -> int:
        """Bytes that all slabs may have."""
        return self._budget

    @property
    def size(self) -> int:
        """Bytes of all slabs."""
        with self._lock:
            self._load()
            return sum(slab.size for slab in self._slabs.values())

    def get(self, key: str, wanted: ByteRange) -> bytes | None:
        """The bytes of exactly this range, or None."""
        return self.get_many(key, [wanted])[0]

    def get_many(self, key: str, ranges: Sequence[ByteRange]) -> list[bytes | None]:
        """The bytes of exactly these ranges, None for each that is not kept."""
        with self._lock:
            self._load()
            entries = [self._entries.get((key, wanted.start, wanted.length)) for wanted in ranges]
        by_slab: dict[int, list[int]] = {}
        for at, entry in enumerate(entries):
            if entry is not None:
                by_slab.setdefault(entry.slab, []).append(at)
        found: list[bytes | None] = [None] * len(ranges)
        for slab, places in by_slab.items():
            held = [(at, ranges[at].length, entry) for at in places if (entry := entries[at]) is not None]
            pieces = self._read_slab(slab, [(entry.offset, length) for _, length, entry in held])
            for (at, length, entry), piece in zip(held, pieces, strict=True):
                if piece is None or len(piece) != length or crc32c(piece) != entry.check:
                    self._lost((key, ranges[at].start, length), slab)
                    continue
                entry.used = True
                found[at] = piece
        return found

    def put(self, key: str, wanted: ByteRange, data: bytes) -> None:
        """Keeps the bytes of a range, if there is room for them at all."""
        self.put_many(key, [wanted], [data])

    def put_many(self, key: str, ranges: Sequence[ByteRange], pieces: Sequence[bytes]) -> None:
        """Keeps the bytes of several ranges, as far as there is room."""
        with self._lock:
            self._load()
            try:
                for wanted, data in zip(ranges, pieces, strict=True):
                    if (key, wanted.start, wanted.length) not in self._entries and len(data) == wanted.length:
                        self._add((key, wanted.start, wanted.length), data, self._make_room)
            except StorageError:
                self._close_slab()  # a full disk: what was written of it is never read

    def forget(self, key: str) -> bool:
        """Drops all ranges of an object; whether there were any."""
        with self._lock:
            self._load()
            gone = [wanted for wanted in self._entries if wanted[0] == key]
            for wanted in gone:
                del self._entries[wanted]
            return bool(gone)

    def close(self) -> None:
        """Closes the slab that is being filled. What is kept is found again by the next cache on this folder."""
        with self._lock:
            self._close_slab()

    def _add(self, wanted: _Wanted, data: bytes, make_room: Callable[[int], None]) -> None:
        key = wanted[0].encode()
        header = _HEADER.pack(_MAGIC, len(key), wanted[1], wanted[2], check := crc32c(data))
        record = b"".join((header, key, _CHECK.pack(crc32c(key, crc32c(header))), data))
        if len(record) > self._budget:
            return
        make_room(len(record))
        number, file = self._slab_for(len(record))
        offset = file.size + len(record) - len(data)
        file.write(record)
        slab = self._slabs[number]
        slab.size = file.size
        slab.entries.append(wanted)
        self._entries[wanted] = _Entry(number, offset, check)

    def _slab_for(self, size: int) -> tuple[int, AppendFile]:
        if self._open is not None and self._open[1].size and self._open[1].size + size > self._slab_bytes:
            self._close_slab()
        if self._open is None:
            number = max(self._slabs, default=0) + 1
            while self._local.exists(self._name(number)):  # of another process
                number += 1
            self._open = number, self._local.append_file(self._name(number))
            self._slabs[number] = _Slab()
        return self._open

    def _close_slab(self) -> None:
        if self._open is not None:
            file, self._open = self._open[1], None
            try:
                file.close()
            except StorageError:
                return

    def _make_room(self, size: int) -> None:
        while self._slabs and sum(slab.size for slab in self._slabs.values()) + size > self._budget:
            self._evict(min(self._slabs), size)

    def _evict(self, number: int, size: int) -> None:
        if self._open is not None and self._open[0] == number:
            self._close_slab()
        slab = self._slabs[number]
        entries = [(wanted, self._entries.get(wanted)) for wanted in dict.fromkeys(slab.entries)]  # some came twice
        used = [(w, e) for w, e in entries if e is not None and e.slab == number and e.used]
        kept: list[tuple[_Wanted, bytes]] = []
        room = min(slab.size * _CARRIED, slab.size - size)
        for wanted, last in reversed(used):
            room -= wanted[2] + _HEADER.size + len(wanted[0].encode()) + _CHECK.size
            if room >= 0 and (data := self._read(last, wanted[2])) is not None:
                kept.append((wanted, data))
        for wanted, entry in entries:
            if entry is not None and entry.slab == number:
                del self._entries[wanted]
        del self._slabs[number]
        self._local.delete(self._name(number))
        for wanted, data in reversed(kept):
            self._add(wanted, data, lambda _: None)

    def _lost(self, wanted: _Wanted, number: int) -> None:
        """Forgets a damaged entry, and its whole slab if somebody deleted it."""
        with self._lock:
            self._entries.pop(wanted, None)
            if self._local.exists(self._name(number)) or number not in self._slabs:
                return
            if self._open is not None and self._open[0] == number:
                self._close_slab()
            for other in self._slabs.pop(number).entries:
                if (entry := self._entries.get(other)) is not None and entry.slab == number:
                    del self._entries[other]

    def _read(self, entry: _Entry, length: int) -> bytes | None:
        (data,) = self._read_slab(entry.slab, [(entry.offset, length)])
        return data if data is not None and len(data) == length and crc32c(data) == entry.check else None

    def _read_slab(self, number: int, places: Sequence[tuple[int, int]]) -> Sequence[bytes | None]:
        """What stands at these offsets, unchecked; None where it cannot be read."""
        try:
            return self._local.read_ranges(self._name(number), places)
        except StorageError:
            if len(places) == 1:
                return [None]
            return [piece for place in places for piece in self._read_slab(number, [place])]

    def _load(self) -> None:
        if self._loaded:
            return
        self._loaded = True
        try:
            names = [n for n in self._local.list(self._folder) if n.endswith(_SUFFIX)]
            numbered = sorted((number, name) for name in names if (number := self._number(name)) is not None)
        except StorageError:
            return
        for number, name in numbered:
            try:
                view = self._local.map(name)
            except StorageError:
                continue
            slab = self._slabs[number] = _Slab(len(view))
            for wanted, offset, check in _entries_of(view):
                slab.entries.append(wanted)
                self._entries[wanted] = _Entry(number, offset, check)

    def _name(self, number: int) -> str:
        return f"{self._folder}/{number:010d}{_SUFFIX}"

    def _number(self, name: str) -> int | None:
        digits = name.removeprefix(f"{self._folder}/").removesuffix(_SUFFIX)
        return int(digits) if digits.isascii() and digits.isdigit() and name == self._name(int(digits)) else None


def _entries_of(view: memoryview) -> Iterator[tuple[_Wanted, int, int]]:
    """The entries of a slab up to the first damaged header. Lengths are believed only after their checksum."""
    at = 0
    while at + _HEADER.size <= len(view):
        header = view[at : at + _HEADER.size]
        magic, key_length, start, length, check = _HEADER.unpack(header)
        key_end = at + _HEADER.size + key_length
        if magic != _MAGIC or key_end + _CHECK.size > len(view):
            return
        key = bytes(view[at + _HEADER.size : key_end])
        (expected,) = _CHECK.unpack(view[key_end : key_end + _CHECK.size])
        offset = key_end + _CHECK.size
        if crc32c(key, crc32c(header)) != expected or offset + length > len(view):
            return
        yield (intern(key.decode()), start, length), offset, check  # thousands of entries have the same few keys
        at = offset + length


class CachedStore(WrappedStore):
    """Serves ``get_ranges`` from a cache, all else from the store. Objects read by ranges must never change.

    Hits are counted in ``snapshot()`` and in ``measured`` blocks.
    """

    def __init__(self, inner: ObjectStore, cache: RangeCache) -> None:
        super().__init__(inner)
        self.cache = cache
        self._totals = Totals()

    def snapshot(self) -> StoreTally:
        """``cache_hits`` and ``cache_bytes`` since the store was made."""
        return self._totals.snapshot()

    def get_ranges(self, key: str, ranges: Sequence[ByteRange]) -> list[bytes]:
        found = self.cache.get_many(key, ranges)
        hits = [data for data in found if data is not None]
        self._totals.count(StoreTally(cache_hits=len(hits), cache_bytes=sum(map(len, hits))))
        missing = [wanted for wanted, data in zip(ranges, found, strict=True) if data is None]
        fetched = iter(self._fetch(key, missing))
        return [next(fetched) if data is None else data for data in found]

    def _fetch(self, key: str, ranges: Sequence[ByteRange]) -> list[bytes]:
        """Neighbours share a request; each range is kept by itself, so that another search finds it."""
        if not ranges:
            return []
        runs = coalesce(ranges)
        parts = cut(ranges, runs, self.inner.get_ranges(key, [run.span for run in runs]))
        self.cache.put_many(key, ranges, parts)
        return parts

    def close(self) -> None:
        self.cache.close()
        super().close()


def keeps(store: ObjectStore) -> bool:
    """Whether what is read of the store is kept for the next who asks."""
    return isinstance(store, CachedStore) and store.cache.budget > 0


def uncached(store: ObjectStore) -> ObjectStore:
    """The store behind the cache, for what is read once and kept elsewhere."""
    return store.inner if isinstance(store, CachedStore) else store


def forget(store: ObjectStore, key: str) -> bool:
    """Drops what a store's cache holds of an object whose bytes turned out wrong; whether it is worth reading again.

    What a store answered is kept before anybody can check it: without this a passing fault would stay for good.
    """
    return isinstance(store, CachedStore) and store.cache.forget(key)
