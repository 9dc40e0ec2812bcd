"""Dropping a whole database: its directory, its own cold objects, and its pins on those of others."""

from __future__ import annotations

from dataclasses import dataclass

from tiervdb.engine import identity as identities
from tiervdb.errors import DatabaseLockedError
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
    """What would be deleted. NotADatabaseError if the directory is none."""
    identity = identities.read(local)
    files = tuple(sorted(local.walk("")))
    if identity.cold_url is None:
        return DropPlan(files, (), (), ())
    wanted = _pinned_by_others(store, identity)
    own = sorted(found.key for found in store.list(f"{identity.database_id}/") if not _is_pin(found.key))
    pins = tuple(paths.ColdPinKey(b.database_id, b.pin).key for b in identity.borrowed)
    kept = tuple(key for key in own if key in wanted)
    return DropPlan(files, tuple(key for key in own if key not in wanted), kept, pins)


def run(local: LocalDir, store: ObjectStore, planned: DropPlan) -> None:
    """Deletes what was planned.

    The identity goes first, so that what a crash leaves is no database. DatabaseLockedError.
    """
    lock = local.lock(paths.WRITER_LOCK)
    if lock is None:
        raise DatabaseLockedError(f"{local.root} is open in another process or handle; close it before it is dropped")
    try:
        local.delete(paths.IDENTITY, durable=True)
        for key in (*planned.pins, *planned.objects):
            store.delete(key)
        for name in (*planned.files, paths.WRITER_LOCK):
            local.delete(name)
    finally:
        lock.release()


def _pinned_by_others(store: ObjectStore, identity: Identity) -> set[str]:
    pins = (
        documents.decode_pin(store.get(f.key), f.key) for f in store.list(paths.cold_pin_prefix(identity.database_id))
    )
    return {key for pin in pins for key in pin.keys}


def _is_pin(key: str) -> bool:
    return isinstance(paths.parse_key(key), paths.ColdPinKey)
