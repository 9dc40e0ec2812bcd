"""The short probe of a store, before anything is kept there."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from tiervdb.errors import (
    CorruptionError,
    ObjectExistsError,
    PreconditionFailedError,
    StoreRefusedError,
    TiervdbError,
)
from tiervdb.storage.object_store import ByteRange, ObjectStore


@dataclass(frozen=True)
class FirstLook:
    """``conditional``: a second creation of an object is refused, and changes nothing.

    ``lists``: a new object is listed at once; None: the credentials do not allow to list.
    """

    conditional: bool
    lists: bool | None


def first_look(store: ObjectStore, key: str, first: bytes, second: bytes) -> FirstLook:
    """What matters most, in a few requests, by an object that is deleted again.

    ``first`` and ``second``: new bytes that differ, at least 3. CorruptionError if an object or its ranges do not come
    back as written: nothing must be kept in such a store. Other errors of the store go through.
    """
    ranges = [ByteRange(0, 1), ByteRange(1, 1), ByteRange(len(first) - 1, 1)]
    try:
        store.put_if_absent(key, first)
        parts = store.get_ranges(key, ranges)
        if store.get(key) != first or parts != [first[r.start : r.end] for r in ranges]:
            raise CorruptionError(
                f"trying out {store.url}: {key} did not come back as it was written, so nothing was moved there; "
                f"`tiervdb doctor {store.url}` says what is wrong with the store"
            )
        lists = _lists(store, key)
        if not store.conditional:
            return FirstLook(False, lists)
        refused = is_refused(lambda: store.put_if_absent(key, second))
        return FirstLook(refused and store.get(key) == first, lists)
    finally:
        with suppress(TiervdbError):
            store.delete(key)


def _lists(store: ObjectStore, key: str) -> bool | None:
    try:
        return any(found.key == key for found in store.list(key))
    except StoreRefusedError:
        return None


def is_refused(write: Callable[[], object]) -> bool:
    """Whether a conditional write finds that it may not."""
    try:
        write()
    except (ObjectExistsError, PreconditionFailedError):
        return True
    return False
