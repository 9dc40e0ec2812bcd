"""Databases that start from another one: clones, and directories that somebody copied."""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tiervdb.clock import Clock
from tiervdb.engine import borrowing, gc, intents, log_files, wal
from tiervdb.engine import identity as identities
from tiervdb.engine.core import manifest_objects
from tiervdb.engine.manifest_store import ManifestStore
from tiervdb.errors import AlreadyExistsError, CorruptionError, DatabaseLockedError, InvalidInputError, StorageError
from tiervdb.format import paths
from tiervdb.format.documents import Identity
from tiervdb.format.manifest import Manifest
from tiervdb.storage.local_dir import LocalDir
from tiervdb.storage.object_store import ObjectStore

_log = logging.getLogger("tiervdb")


@dataclass(frozen=True)
class Origin:
    """What a clone starts from: a pinned manifest, the seq to stop at, and where its files are."""

    local: LocalDir
    store: ObjectStore
    identity: Identity
    manifest: Manifest
    seq: int
    time_us: int


def clone(origin: Origin, parent: LocalDir, name: str, clock: Clock, rng: random.Random) -> Identity:
    """Builds a new database beside ``name`` in ``parent`` and publishes it by a rename. AlreadyExistsError if the
    name is taken, DatabaseLockedError if another clone is being made there.

    Local files and those of a cold subdirectory are hard links; objects in a shared cold store are pinned there, first
    as "making". What a crash leaves is undone by the next clone to the same path.
    """
    _check_target(origin.local, parent, name)
    partial = f".{name}.partial"
    target = parent.sub(partial)
    lock = target.lock(paths.WRITER_LOCK)
    if lock is None:
        raise DatabaseLockedError(f"another clone to {parent.path(name)} is being made; wait for it, or choose another")
    try:
        return _clone_locked(origin, parent, name, target, clock, rng)
    finally:
        lock.release()


def _clone_locked(
    origin: Origin, parent: LocalDir, name: str, target: LocalDir, clock: Clock, rng: random.Random
) -> Identity:
    path = str(parent.path(name))
    borrowing.abandon(origin.store, target, path)
    for old in list(target.walk("")):
        if old != paths.WRITER_LOCK:
            target.delete(old)
    # The identity is written last but one: without it the directory is nothing.
    database_id = paths.random_id(rng)
    identity = identities.forked(origin.identity, target, clock, rng, origin.seq, origin.time_us, database_id)
    try:
        identity = _with_cold_objects(origin, target, identity, path, clock, rng)
        _link_files(origin, target)
        _copy_log(origin, target, identity)
        ManifestStore(target, origin.manifest.shard).publish(
            msgspec.structs.replace(origin.manifest, database_id=database_id, timeline=identity.timeline.id, epoch=0)
        )
        identities.write(target, identity)
        parent.rename(target.root.name, name)
    except Exception:
        borrowing.abandon(origin.store, target, path)
        raise
    borrowing.finish_if_possible(origin.store, parent.sub(name))
    return identity


def adopt_copy(
    local: LocalDir,
    manifests: ManifestStore,
    identity: Identity,
    copied: str | None,
    store: ObjectStore,
    clock: Clock,
    rng: random.Random,
) -> Identity:
    """Makes a copied directory what its opener says it is to be; both ways it starts a timeline of its own."""
    if copied is None:
        raise identities.refuse_copy(local)
    current = manifests.current()
    files = wal.read_after(local, current.shard, current.flushed_seq, 0)
    seq = max([current.flushed_seq, *(file.last_seq for file in files)])
    database_id = identity.database_id if copied == "take_over" else paths.random_id(rng)
    adopted = identities.forked(identity, local, clock, rng, seq, current.flushed_time_us, database_id)
    if identity.cold_url is not None:
        borrowing.abandon(store, local, _path(local))
        borrowing.require_whole(store, manifest_objects(current))  # before anything is written, here or there
        if copied == "clone":
            borrowing.disown(local)
            loan = borrowing.Loan(adopted, _path(local), current, seq, _named_objects(manifests))
            adopted = msgspec.structs.replace(adopted, borrowed=borrowing.take(store, local, loan, clock, rng))
    manifests.publish(
        msgspec.structs.replace(
            current, version=current.version + 1, database_id=database_id, timeline=adopted.timeline.id
        )
    )
    identities.write(local, adopted)
    return adopted


def finish_borrowing(
    local: LocalDir, manifests: ManifestStore, identity: Identity, store: ObjectStore, clock: Clock, rng: random.Random
) -> Identity:
    """What a crash kept a clone from at its very end: its pins say that they are held.

    Those that the owner has released meanwhile are made anew, if the objects are still there; else it is logged, and
    whoever reads them is told.
    """
    gone = borrowing.finish_if_possible(store, local)
    if not gone:
        return identity
    owners = {p.database_id for key in gone if isinstance(p := paths.parse_key(key), paths.ColdPinKey)}
    keys = frozenset(key for key in _named_objects(manifests) if key.split("/")[0] in owners)
    current = manifests.current()
    stale = intents.listed(local)
    loan = borrowing.Loan(identity, _path(local), current, current.flushed_seq, keys)
    try:
        taken = borrowing.take(store, local, loan, clock, rng)
    except (StorageError, CorruptionError) as error:
        _log.warning("%s: its pins in %s were released, and could not be made anew: %s", local.root, store.url, error)
        return identity
    others = tuple(b for b in identity.borrowed if b.database_id not in owners)
    identity = msgspec.structs.replace(identity, borrowed=(*others, *taken))
    identities.write(local, identity)
    for intent in stale:
        if intent.kind == borrowing.INTENT:
            intents.forget(local, intent.id)
    borrowing.finish_if_possible(store, local)
    return identity


def _path(local: LocalDir) -> str:
    return str(local.root.absolute())


def _named_objects(manifests: ManifestStore) -> frozenset[str]:
    """The cold keys that any listed manifest names."""
    return frozenset(key for version in manifests.versions() for key in manifest_objects(manifests.read(version)))


def _check_target(origin: LocalDir, parent: LocalDir, name: str) -> None:
    if parent.path(name).resolve().is_relative_to(origin.root.resolve()):
        raise InvalidInputError(
            f"{parent.path(name)} lies within the database {origin.root}; clone to a path beside it"
        )
    if parent.exists(name) or parent.path(name).exists():
        raise AlreadyExistsError(
            f"{parent.path(name)} exists already; clone to a path that does not, or tiervdb.drop() it first"
        )


def _link_files(origin: Origin, target: LocalDir) -> None:
    for name in sorted(gc.names_of(origin.manifest) - set(manifest_objects(origin.manifest))):
        target.link(origin.local.complete(name), name)
    for segment in origin.manifest.segments:
        copy = paths.SketchCopyName(segment.id).name
        if origin.local.exists(copy):
            target.link(origin.local.path(copy), copy)


def _copy_log(origin: Origin, target: LocalDir, identity: Identity) -> None:
    """The records after the manifest, up to the clone's seq, as they are."""
    manifest = origin.manifest
    records = log_files.taken(origin.local, manifest.shard, manifest.flushed_seq, origin.seq)
    made = log_files.rebuilt(
        records,
        shard=manifest.shard,
        database_id=identity.database_id,
        timeline=identity.timeline.id,
        chain=manifest.chain,
    )
    for name, data in made:
        target.write_atomic(name, data)


def _with_cold_objects(
    origin: Origin, target: LocalDir, identity: Identity, path: str, clock: Clock, rng: random.Random
) -> Identity:
    """A shared store keeps the objects under a pin; those of the source's own subdirectory are linked or copied."""
    keys = sorted(manifest_objects(origin.manifest))
    if origin.identity.cold_url is not None:
        loan = borrowing.Loan(identity, path, origin.manifest, origin.seq, frozenset(keys))
        return msgspec.structs.replace(identity, borrowed=borrowing.take(origin.store, target, loan, clock, rng))
    cold = target.sub(paths.COLD_DIR)
    for key in keys:
        cold.link(origin.local.sub(paths.COLD_DIR).complete(key), key)
    return identity


def parent_of(path: Path) -> tuple[Path, str]:
    """The folder that a new database is made in, and its name there."""
    absolute = path.absolute()
    return absolute.parent, absolute.name
