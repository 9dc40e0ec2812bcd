"""Dropping a whole database: its directory, its own cold objects, and its pins on those of others."""

from __future__ import annotations

import random
from dataclasses import dataclass

from tiervdb.clock import Clock
from tiervdb.engine import borrowing, intents, pins
from tiervdb.engine import identity as identities
from tiervdb.engine.cold_store import ColdStore, last_epoch
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
    return _plan(local, store, identity_of(local))


def _plan(local: LocalDir, store: ObjectStore, identity: Identity) -> DropPlan:
    files = tuple(sorted(set(local.walk("")) - {paths.DROPPED}))
    if identity.cold_url is None:
        return DropPlan(files, (), (), ())
    if identities.was_copied(local, identity):  # the objects under its id are those of the original
        raise CopiedDatabaseError(
            f"{local.root} is a copy of a database's directory, and what lies in {identity.cold_url} is the "
            "original's: remove the directory by hand, or open it with copied= first"
        )
    last_epoch(store, identity)  # raises where a copy has taken over: the objects are the copy's now
    wanted = _pinned_by_others(store, identity)
    own = sorted(found.key for found in store.list(f"{identity.database_id}/") if not _is_sign(found.key))
    borrowed = tuple(paths.ColdPinKey(b.database_id, b.pin).key for b in identity.borrowed)
    kept = tuple(key for key in own if key in wanted)
    return DropPlan(files, tuple(key for key in own if key not in wanted), kept, borrowed)


def drop(local: LocalDir, store: ObjectStore, clock: Clock, rng: random.Random) -> DropPlan:
    """Deletes the database, and says what that was. DatabaseLockedError if somebody has it open.

    The identity is renamed first: what a crash leaves is no database any more, and dropping it again ends it.
    """
    lock = local.lock(paths.WRITER_LOCK)
    if lock is None:
        raise DatabaseLockedError(f"{local.root} is open in another process or handle; close it before it is dropped")
    try:
        identity = identity_of(local)
        _plan(local, store, identity)  # raises what forbids it
        _unlist(local)
        planned = _delete_objects(local, store, identity, clock, rng)
        for name in (*planned.files, paths.DROPPED, paths.WRITER_LOCK):
            local.delete(name)
    finally:
        lock.release()
    return planned


def identity_of(local: LocalDir) -> Identity:
    """Of the database, or of one that a crash kept from being dropped to its end."""
    if local.exists(paths.DROPPED) and not local.exists(paths.IDENTITY):
        return documents.decode_identity(local.read(paths.DROPPED), str(local.path(paths.DROPPED)))
    return identities.read(local)


def _unlist(local: LocalDir) -> None:
    """Nobody can open it from now on. A reader pins first and then looks for the identity: one of the two is seen."""
    _refuse_readers(local)
    if not local.exists(paths.IDENTITY):
        return
    local.rename(paths.IDENTITY, paths.DROPPED)
    try:
        _refuse_readers(local)
    except DatabaseLockedError:
        local.rename(paths.DROPPED, paths.IDENTITY)
        raise


def _delete_objects(
    local: LocalDir, store: ObjectStore, identity: Identity, clock: Clock, rng: random.Random
) -> DropPlan:
    """Deletes what no clone has pinned until now; what the plan was made from may have changed since."""
    planned = _plan(local, store, identity)
    if identity.cold_url is None:
        return planned
    cold = ColdStore(store, identity, identities.this_process(), clock, rng)
    deleted = cold.delete(planned.objects)  # first takes an epoch, so that nobody takes over unseen
    kept = {key for key in planned.objects if cold.owns(key)} - deleted
    rest = {f.key for f in store.list(f"{identity.database_id}/") if not _is_sign(f.key) and not cold.owns(f.key)}
    borrowed = [key for intent in intents.listed(local) if intent.kind == borrowing.INTENT for key in intent.keys]
    for key in (*planned.pins, *borrowed, *sorted(rest)):
        store.delete(key)
    cold.forget_deletions()
    objects = tuple(sorted(deleted | rest))
    return DropPlan(planned.files, objects, tuple(sorted({*planned.kept, *kept})), planned.pins)


def _refuse_readers(local: LocalDir) -> None:
    for pin in pins.listed(local):
        if pin.kind == "reader" and not pins.is_abandoned(local, pin, 0):
            by = f"pid {pin.owner.pid} on {pin.owner.host}" if pin.owner is not None else "another process"
            raise DatabaseLockedError(f"{local.root} is being read ({by}); close it there before it is dropped")


def _pinned_by_others(store: ObjectStore, identity: Identity) -> set[str]:
    found = store.list(paths.cold_pin_prefix(identity.database_id))
    held = (documents.decode_pin(store.get(f.key), f"{store.url}/{f.key}") for f in found)
    return {key for pin in held for key in pin.keys}


def _is_sign(key: str) -> bool:
    """Whether it is there for others: their pins, and what is being deleted."""
    return isinstance(paths.parse_key(key), paths.ColdPinKey | paths.DeletionKey)
