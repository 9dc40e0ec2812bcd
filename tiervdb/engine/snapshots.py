"""Snapshots: a named pin of a manifest, a seq and the log in between. Taken in microseconds, copying nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from tiervdb.engine import gc, pins, wal
from tiervdb.engine.catalog import CatalogState
from tiervdb.engine.core import ShardCore
from tiervdb.errors import CommitOutcomeUnknown, ObjectNotFoundError
from tiervdb.format import paths
from tiervdb.format.documents import Pin, PinKind
from tiervdb.format.manifest import Manifest, SnapshotName
from tiervdb.format.operations import CreateSnapshot, DropSnapshot, Operation


@dataclass(frozen=True)
class SnapshotInfo:
    """A snapshot and what it costs. ``only_bytes``: local and cold bytes that would go with it.

    ``consistency``: "fsync" if every commit in it had been synced when it was taken, else "os".
    """

    name: str
    seq: int
    time_us: int
    created_us: int
    expires_us: int | None
    pin: str
    only_bytes: int
    consistency: str


def create(core: ShardCore, name: str, expires_us: int | None) -> SnapshotName:
    """Pins the newest durable state and commits its name, in place of an expired snapshot of that name if there is one.

    AlreadyExistsError for a name that is taken.
    """
    expired = _in_the_way(core, core.state.tip.catalog, name)
    if core.group.fsynced_seq < core.group.durable_seq:
        core.group.fsync()
    pin = take_pin(core, "snapshot", name, expires_us)
    snapshot = SnapshotName(
        name=name, seq=pin.seq, time_us=pin.time_us, expires_us=expires_us, pin=pin.id, created_us=pin.created_us
    )

    def operations(catalog: CatalogState) -> list[Operation]:
        nonlocal expired
        expired = _in_the_way(core, catalog, name)
        return [CreateSnapshot(snapshot)] if expired is None else [DropSnapshot(name), CreateSnapshot(snapshot)]

    try:
        core.commit_on(operations)
    except CommitOutcomeUnknown:
        raise  # the name may hold: opening again tells, and releases the pin if not
    except Exception:
        pins.release(core.env.local, pin.id)
        raise
    if expired is not None:
        release(core, expired.pin)
    return snapshot


def _in_the_way(core: ShardCore, catalog: CatalogState, name: str) -> SnapshotName | None:
    """The snapshot of that name, whose time is over; AlreadyExistsError if it is not."""
    there = catalog.snapshots.get(name)
    if there is None or not _is_over(there, core.env.clock.now_us()):
        catalog.check_new_snapshot(name)
    return there


def _is_over(snapshot: SnapshotName, now_us: int) -> bool:
    return snapshot.expires_us is not None and snapshot.expires_us <= now_us


def take_pin(core: ShardCore, kind: PinKind, name: str | None = None, expires_us: int | None = None) -> Pin:
    """Pins the visible state: its manifest, and the log up to its seq."""
    with core.manifest_lock:  # so that the manifest is still listed when its pin is on disk
        core.require_open()
        with core.commit_lock:
            tip, version = core.visible, core.state.manifest.version
        pin = Pin(
            id=paths.random_id(core.env.rng),
            kind=kind,
            timeline=core.state.manifest.timeline,
            shard=core.env.shard,
            manifest_version=version,
            seq=tip.seq,
            time_us=tip.time_us,
            created_us=core.env.clock.now_us(),
            expires_us=expires_us,
            name=name,
            consistency="fsync" if core.group.fsynced_seq >= tip.seq else "os",
        )
        pins.write(core.env.local, pin)
    return pin


def drop(core: ShardCore, name: str) -> None:
    """Commits that the name is gone, then releases its pin. SnapshotNotFoundError."""
    snapshot = core.view().catalog.snapshot(name)
    core.commit([DropSnapshot(name)])
    release(core, snapshot.pin)


def expire(core: ShardCore) -> bool:
    """Drops the snapshots whose time is over; whether there were any."""
    now_us = core.env.clock.now_us()
    over = [s for s in core.view().catalog.snapshots.values() if _is_over(s, now_us)]
    for snapshot in over:
        if core.commit_on(partial(_dropping, snapshot)):
            release(core, snapshot.pin)
    return bool(over)


def _dropping(snapshot: SnapshotName, catalog: CatalogState) -> list[Operation]:
    """Nothing where the name is gone already, or another snapshot's by now."""
    return [DropSnapshot(snapshot.name)] if catalog.snapshots.get(snapshot.name) == snapshot else []


def release(core: ShardCore, pin_id: str) -> None:
    """Releases a pin that may be gone already, say after a crash between the two steps of a drop."""
    if core.env.local.exists(paths.PinName(pin_id).name):
        pins.release(core.env.local, pin_id)


def release_orphans(core: ShardCore) -> None:
    """Pins of snapshots that a crash kept from getting their name, or whose name was dropped. Called when opening."""
    named = {s.pin for s in core.view().catalog.snapshots.values()}
    for pin in pins.listed(core.env.local, core.env.shard):
        if pin.kind == "snapshot" and pin.id not in named:
            pins.release(core.env.local, pin.id)


def forget_lost(core: ShardCore) -> None:
    """Drops names whose pins are not here. Called when opening.

    A clone has the names of its origin until then, for the log that it was given may drop one of them.
    """
    held = {pin.id for pin in pins.listed(core.env.local, core.env.shard)}
    lost = [s.name for s in core.view().catalog.snapshots.values() if s.pin not in held]
    if lost:
        core.commit([DropSnapshot(name) for name in lost], "these snapshots are not held here")


def describe(core: ShardCore) -> list[SnapshotInfo]:
    """All snapshots, oldest first, with the bytes that only they keep."""
    held = {pin.id: pin for pin in pins.listed(core.env.local, core.env.shard)}
    needed = {pin_id: _sizes(core, pin) for pin_id, pin in held.items()}
    current = _listed_sizes(core.state.manifest)
    infos = []
    for snapshot in sorted(core.view().catalog.snapshots.values(), key=lambda s: s.seq):
        others = {name for pin_id, sizes in needed.items() if pin_id != snapshot.pin for name in sizes} | set(current)
        only = sum(size for name, size in needed.get(snapshot.pin, {}).items() if name not in others)
        pin = held.get(snapshot.pin)
        infos.append(
            SnapshotInfo(
                snapshot.name,
                snapshot.seq,
                snapshot.time_us,
                snapshot.created_us,
                snapshot.expires_us,
                snapshot.pin,
                only,
                pin.consistency if pin is not None else "lost",
            )
        )
    return infos


def _sizes(core: ShardCore, pin: Pin) -> Mapping[str, int]:
    """Bytes by name of what a pin keeps."""
    try:
        manifest = core.env.manifests.read(pin.manifest_version)
    except ObjectNotFoundError:
        return {}
    local = core.env.local
    logs = (
        wal.names_after(wal.file_names(local, core.env.shard), manifest.flushed_seq)
        if pin.seq > manifest.flushed_seq
        else []
    )
    kept = [name for name in logs[:-1] if wal.first_seq_of(name) <= pin.seq and _is_flushed(core, name)]
    return {**_listed_sizes(manifest), **{name: local.size(name) for name in kept}}


def _is_flushed(core: ShardCore, name: str) -> bool:
    last = core.log_ends.get(name)
    return last is not None and last <= core.state.manifest.flushed_seq


def _listed_sizes(manifest: Manifest) -> dict[str, int]:
    return {reference.name: reference.size for reference in gc.references_of(manifest)}
