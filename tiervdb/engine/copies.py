"""Databases that start from another one: clones, and directories that somebody copied."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from tiervdb.clock import Clock
from tiervdb.engine import gc, wal
from tiervdb.engine import identity as identities
from tiervdb.engine.core import manifest_objects
from tiervdb.engine.manifest_store import ManifestStore
from tiervdb.errors import AlreadyExistsError, CorruptionError, InvalidInputError, ObjectNotFoundError
from tiervdb.format import documents, paths
from tiervdb.format.documents import BorrowedPin, Identity, Pin
from tiervdb.format.manifest import Manifest
from tiervdb.storage.local_dir import LocalDir
from tiervdb.storage.object_store import ObjectStore


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
    name is taken.

    Local files and those of a cold subdirectory are hard links; objects in a shared cold store are pinned there.
    """
    _check_target(origin.local, parent, name)
    partial = f".{name}.partial"
    for old in list(parent.walk(partial)):
        parent.delete(old)
    target = parent.sub(partial)
    target.make()
    _link_files(origin, target)
    database_id = paths.random_id(rng)
    # The identity is written last but one: without it the directory is nothing, and it needs the directory to be there.
    identity = identities.forked(origin.identity, target, clock, rng, origin.seq, origin.time_us, database_id)
    manifest = msgspec.structs.replace(origin.manifest, database_id=database_id, timeline=identity.timeline.id, epoch=0)
    _copy_log(origin, target, identity)
    ManifestStore(target, manifest.shard).publish(manifest)
    identity = _with_cold_objects(origin, target, identity, clock, rng)
    identities.write(target, identity)
    parent.rename(partial, name)
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
    if copied == "clone" and identity.cold_url is not None:
        held = [manifests.read(version) for version in manifests.versions()]
        adopted = _pin_objects(store, current, {k for m in held for k in manifest_objects(m)}, adopted, clock, rng, seq)
        _require_objects(store, current)
    manifests.publish(
        msgspec.structs.replace(
            current, version=current.version + 1, database_id=database_id, timeline=adopted.timeline.id
        )
    )
    identities.write(local, adopted)
    return adopted


def _require_objects(store: ObjectStore, manifest: Manifest) -> None:
    """Looked at after they were pinned: what is there now stays."""
    for key in manifest_objects(manifest):
        try:
            store.stat(key)
        except ObjectNotFoundError as error:
            raise CorruptionError(
                f"{store.url} no longer holds {key}: the database that this directory was copied from has deleted it "
                "since. "
                "Use db.clone() there, which pins what the copy needs"
            ) from error


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
        target.link(origin.local.path(name), name)
    for segment in origin.manifest.segments:
        copy = paths.SketchCopyName(segment.id).name
        if origin.local.exists(copy):
            target.link(origin.local.path(copy), copy)


def _copy_log(origin: Origin, target: LocalDir, identity: Identity) -> None:
    """The records after the manifest, up to the clone's seq, as they are; one file for each one that they come from."""
    manifest = origin.manifest
    if origin.seq == manifest.flushed_seq:
        return
    for file in wal.read_after(origin.local, manifest.shard, manifest.flushed_seq, 0, origin.seq):
        spans = list(file.spans(manifest.flushed_seq, origin.seq))
        if not spans or file.scan.header is None:
            continue
        first = spans[0].header.seq
        header = replace(
            file.scan.header,
            database_id=identity.database_id,
            timeline=identity.timeline.id,
            first_seq=first,
            chain=file.chain_at(first - 1),
        )
        records = b"".join(span.record(file.buffer) for span in spans)
        target.write_atomic(paths.WalName(manifest.shard, first).name, header.encode() + records)


def _with_cold_objects(
    origin: Origin, target: LocalDir, identity: Identity, clock: Clock, rng: random.Random
) -> Identity:
    """A shared store keeps the objects under a pin; those of the source's own subdirectory are linked or copied."""
    if origin.identity.cold_url is not None:
        keys = set(manifest_objects(origin.manifest))
        return _pin_objects(origin.store, origin.manifest, keys, identity, clock, rng, origin.seq)
    cold = target.sub(paths.COLD_DIR)
    for key in sorted(manifest_objects(origin.manifest)):
        cold.link(origin.local.path(f"{paths.COLD_DIR}/{key}"), key)
    return identity


def _pin_objects(
    store: ObjectStore,
    manifest: Manifest,
    keys: Iterable[str],
    identity: Identity,
    clock: Clock,
    rng: random.Random,
    seq: int,
) -> Identity:
    """Writes a pin under the id of each database that owns one of the objects, and notes them in the identity."""
    keys_by_owner: dict[str, list[str]] = {}
    for key in sorted(keys):
        parsed = paths.parse_key(key)
        if isinstance(parsed, paths.ObjectKey):
            keys_by_owner.setdefault(parsed.database_id, []).append(key)
    borrowed = []
    for owner, own_keys in keys_by_owner.items():
        pin = _pin(manifest, identity, own_keys, clock, rng, seq)
        store.put(paths.ColdPinKey(owner, pin.id).key, documents.encode(pin))
        borrowed.append(BorrowedPin(database_id=owner, pin=pin.id))
    return msgspec.structs.replace(identity, borrowed=tuple(borrowed))


def _pin(
    manifest: Manifest, identity: Identity, keys: Sequence[str], clock: Clock, rng: random.Random, seq: int
) -> Pin:
    return Pin(
        id=paths.random_id(rng),
        kind="clone",
        timeline=manifest.timeline,
        shard=manifest.shard,
        manifest_version=manifest.version,
        seq=seq,
        time_us=manifest.flushed_time_us,
        created_us=clock.now_us(),
        holder=identity.database_id,
        keys=tuple(keys),
    )


def parent_of(path: Path) -> tuple[Path, str]:
    """The folder that a new database is made in, and its name there."""
    absolute = path.absolute()
    return absolute.parent, absolute.name
