"""Dropping a whole database: its directory, its own cold objects, and its pins on those of others."""

from __future__ import annotations

from dataclasses import dataclass

from tiervdb.engine import identity as identities
from tiervdb.engine import pins
from tiervdb.engine.cold_store import last_epoch
from tiervdb.errors import CopiedDatabaseError, DatabaseLockedError
from tiervdb.format import documents, paths
from tiervdb.format.documents import Identity
from tiervdb.storage.local_dir import LocalDir
from tiervdb.storage.object_store import ObjectStore


@dataclass(frozen=True)
class DropPlan:
    """What dropping deletes. ``kept``: own objects that clones still need; they stay in the store."""

    files: tuple[str, ...]
    objects: tuple[str, ...]
    kept: tuple[str, ...]
    pins: tuple[str, ...]


def plan(local: LocalDir, store: ObjectStore) -> DropPlan:
    """What would be deleted.

    NotADatabaseError if the directory is none, CopiedDatabaseError if it is a copy, FencedError if a copy took over.
    """
    identity = identities.read(local)
    files = tuple(sorted(local.walk("")))
    if identity.cold_url is None:
        return DropPlan(files, (), (), ())
    if identities.was_copied(local, identity):  # the objects under its id are those of the original
        raise CopiedDatabaseError(
            f"{local.root} is a copy of a database's directory, and what lies in {identity.cold_url} is the "
            "original's: remove the directory by hand, or open it with copied= first"
        )
    last_epoch(store, identity)  # raises where a copy has taken over: the objects are the copy's now
    wanted = _pinned_by_others(store, identity)
    own = sorted(found.key for found in store.list(f"{identity.database_id}/") if not _is_pin(found.key))
    borrowed = tuple(paths.ColdPinKey(b.database_id, b.pin).key for b in identity.borrowed)
    kept = tuple(key for key in own if key in wanted)
    return DropPlan(files, tuple(key for key in own if key not in wanted), kept, borrowed)


def drop(local: LocalDir, store: ObjectStore) -> DropPlan:
    """Deletes the database, and says what that was.

    The identity goes first, so that what a crash leaves is no database. DatabaseLockedError if somebody has it open.
    """
    lock = local.lock(paths.WRITER_LOCK)
    if lock is None:
        raise DatabaseLockedError(f"{local.root} is open in another process or handle; close it before it is dropped")
    try:
        _refuse_readers(local)
        planned = plan(local, store)
        local.delete(paths.IDENTITY, durable=True)
        for key in (*planned.pins, *planned.objects):
            store.delete(key)
        for name in (*planned.files, paths.WRITER_LOCK):
            local.delete(name)
    finally:
        lock.release()
    return planned


def _refuse_readers(local: LocalDir) -> None:
    for pin in pins.listed(local):
        if pin.kind == "reader" and not pins.is_abandoned(local, pin, 0):
            by = f"pid {pin.owner.pid} on {pin.owner.host}" if pin.owner is not None else "another process"
            raise DatabaseLockedError(f"{local.root} is being read ({by}); close it there before it is dropped")


def _pinned_by_others(store: ObjectStore, identity: Identity) -> set[str]:
    pins = (
        documents.decode_pin(store.get(f.key), f.key) for f in store.list(paths.cold_pin_prefix(identity.database_id))
    )
    return {key for pin in pins for key in pin.keys}


def _is_pin(key: str) -> bool:
    return isinstance(paths.parse_key(key), paths.ColdPinKey)
