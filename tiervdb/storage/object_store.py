"""Named objects in a bucket or directory: the interface that both tiers' remote side goes through.

Keys are relative POSIX names below the store's URL; one that leads out of it raises InvalidInputError.

Objects appear whole or not at all; readers see the old or the new bytes, never a mixture. What a call wrote is visible
to every later ``get``, ``stat`` and ``list``, from any process. All methods may be called from any thread.

Errors are those of ``tiervdb.errors``: ObjectNotFoundError for a missing key, StoreUnavailableError if the store is
away or failing (try again later), StoreRefusedError for credentials, permissions or a bucket that does not exist. They
never carry secrets.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tiervdb.errors import CorruptionError, InvalidInputError


@dataclass(frozen=True, slots=True)
class ByteRange:
    """``length`` bytes from ``start`` on."""

    start: int
    length: int

    def __post_init__(self) -> None:
        if self.start < 0 or self.length < 0:
            raise InvalidInputError(f"a byte range cannot start at {self.start} with length {self.length}")

    @property
    def end(self) -> int:
        return self.start + self.length


@dataclass(frozen=True, slots=True)
class ObjectStat:
    """What is known of an object without reading it.

    ``etag``: changes whenever the bytes do; only for comparing and for ``put_if_match``. ``modified_us``: the store's
    clock, UTC microseconds.
    """

    key: str
    size: int
    etag: str
    modified_us: int


class ObjectStore(Protocol):
    """A store of objects. See the module for keys, visibility, threads and errors."""

    @property
    def url(self) -> str:
        """Where it is, without secrets."""
        ...

    @property
    def conditional(self) -> bool:
        """Whether ``put_if_absent`` and ``put_if_match`` hold against other processes. If not: one writer only."""
        ...

    def prepare(self) -> None:
        """Makes ready what the first range read needs, so that it need not wait; the store is not asked. May be left
        out, and never fails."""
        ...

    def get(self, key: str) -> bytes:
        """The whole object."""
        ...

    def get_ranges(self, key: str, ranges: Sequence[ByteRange]) -> list[bytes]:
        """The bytes of each range, in the order asked, fetched in parallel. CorruptionError if the object is short."""
        ...

    def get_file(self, key: str, path: Path) -> None:
        """Streams an object into a local file, over what is there. Not synced; partial after an error."""
        ...

    def put(self, key: str, data: bytes) -> None:
        """Creates or replaces an object."""
        ...

    def put_file(self, key: str, path: Path) -> None:
        """Like ``put``, streamed from a local file."""
        ...

    def put_if_absent(self, key: str, data: bytes) -> None:
        """Creates an object; of all who try, one succeeds and the others get ObjectExistsError.

        A reply that was lost is found out by reading back, so ``data`` should hold something that nobody else writes.
        StoreUnavailableError means that the object may or may not be there.
        """
        ...

    def put_if_match(self, key: str, data: bytes, etag: str) -> str:
        """Replaces an object that still has this etag and returns the new one; else PreconditionFailedError."""
        ...

    def stat(self, key: str) -> ObjectStat:
        """Size, etag and time of an object."""
        ...

    def list(self, prefix: str) -> Iterator[ObjectStat]:
        """All objects whose key starts with these characters ("" is all), in no certain order."""
        ...

    def delete(self, key: str) -> None:
        """Deletes an object; missing is fine."""
        ...

    def copy(self, source: str, target: str) -> None:
        """Creates or replaces ``target`` with the bytes of ``source``, inside the store where it can."""
        ...

    def copy_from(self, source: ObjectStore, key: str, target: str) -> None:
        """Creates or replaces ``target`` here with the bytes of ``key`` in another store, without reading them here.

        FeatureUnavailableError where the two cannot do that; then nothing was done.
        """
        ...

    def close(self) -> None:
        """Gives connections back. Closing twice is fine; a closed store must not be used."""
        ...


def check_length(data: bytes, wanted: ByteRange, key: str, url: str) -> bytes:
    """``data`` if it has the wanted length, else CorruptionError."""
    if len(data) != wanted.length:
        msg = (
            f"reading {wanted.length} bytes at {wanted.start} of {key} in {url}: only {len(data)} are there; "
            "the object is damaged: restore it from a backup"
        )
        raise CorruptionError(msg)
    return data
