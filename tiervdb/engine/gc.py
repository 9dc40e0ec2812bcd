"""Garbage collection: which files, logs and cold objects nobody needs any more, and their deletion.

The plan is pure. Deletion fails closed: what cannot be read or reached is kept.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from tiervdb.engine import borrowing, commit_log, intents, pins, wal
from tiervdb.engine.core import ShardCore
from tiervdb.errors import FencedError, StorageError
from tiervdb.format import paths
from tiervdb.format.documents import Intent, Pin
from tiervdb.format.manifest import FileRef, Manifest

_log = logging.getLogger("tiervdb")


@dataclass(frozen=True)
class LogSpan:
    """A log file: its name and the seqs in it."""

    name: str
    first_seq: int
    last_seq: int


@dataclass(frozen=True)
class GcPlan:
    """What may go."""

    files: tuple[str, ...]
    logs: tuple[LogSpan, ...]
    keys: tuple[str, ...]

    @property
    def is_something(self) -> bool:
        return bool(self.files or self.logs)


def plan(
    current: Manifest,
    pinned: Sequence[tuple[Pin, Manifest]],
    files: Iterable[str],
    logs: Sequence[LogSpan],
    keys: Iterable[str],
    in_use: Collection[str],
    building: Collection[str],
    log_bound: int | None = None,
) -> GcPlan:
    """What no listed manifest, pin, open view or running job needs.

    ``log_bound``: what the log holds after this seq is not archived yet and stays; None: nobody archives it.
    ``files``: local segment and codebook files. ``keys``: cold objects named by intents. ``in_use``: names and keys
    that open views read. ``building``: ids whose files no manifest names yet.
    """
    manifests = [current, *(manifest for _, manifest in pinned)]
    needed = {name for manifest in manifests for name in names_of(manifest)} | set(in_use)
    return GcPlan(
        files=tuple(name for name in files if name not in needed and not _is_built(name, building)),
        logs=tuple(span for span in logs if not _log_needed(span, current, pinned, log_bound)),
        keys=tuple(key for key in keys if key not in needed),
    )


def references_of(manifest: Manifest) -> list[FileRef]:
    """Every local file and cold object that a manifest lists."""
    segments = manifest.segments
    return [
        *(f for s in segments for f in s.files.values()),
        *(f for s in segments for f in s.objects.values()),
        *(s.deletions for s in segments if s.deletions is not None),
        *(c.file for c in manifest.codebooks),
        *(c.object for c in manifest.codebooks if c.object is not None),
    ]


def names_of(manifest: Manifest) -> set[str]:
    """The local names and cold keys that a manifest lists."""
    return {reference.name for reference in references_of(manifest)}


def _is_built(name: str, building: Collection[str]) -> bool:
    match paths.parse_local(name):
        case paths.SegmentFileName(segment_id, _) | paths.DeletionName(segment_id, _):
            return segment_id in building
        case paths.CodebookName(codebook_id):
            return codebook_id in building
        case _:
            return True  # not a name of ours: leave it


def _log_needed(
    span: LogSpan, current: Manifest, pinned: Sequence[tuple[Pin, Manifest]], log_bound: int | None
) -> bool:
    if span.last_seq > current.flushed_seq or (log_bound is not None and span.last_seq > log_bound):
        return True
    return any(span.first_seq <= pin.seq and span.last_seq > m.flushed_seq < pin.seq for pin, m in pinned)


def collect(core: ShardCore) -> GcPlan:
    """Deletes what may go, and says what that was."""
    with core.work, core.manifest_lock:
        core.require_open()
        core.group.check_whole()  # else a manifest that is newer than the one in memory may be there
        pinned = _unlist(core)
        ripe = _ripe_intents(core)
        keys = [key for intent in ripe for key in intent.keys]
        done = plan(
            core.state.manifest,
            pinned,
            _local_files(core),
            _sealed_logs(core),
            keys,
            _in_use(core),
            core.building.ids(),
            None if core.log_bound is None else core.log_bound(),
        )
        for name in done.files:
            core.env.local.delete(name)
        for version in core.env.manifests.unlisted_versions():
            core.env.manifests.delete_unlisted(version)
        _delete_logs(core, done.logs)
        current = names_of(core.state.manifest)
        _sweep_sketches(core, [manifest for _, manifest in pinned])
    _delete_objects(core, ripe, done.keys, current)
    return done


def _sweep_sketches(core: ShardCore, pinned: Sequence[Manifest]) -> None:
    """Local copies of sketches go with their segments; they are no more than copies."""
    listed = {s.id for manifest in (core.state.manifest, *pinned) for s in manifest.segments}
    open_now = {segment.entry.id for segment in core.open_segments()}
    core.env.opener.cold.copies.sweep(listed | open_now | core.building.ids())


def _unlist(core: ShardCore) -> list[tuple[Pin, Manifest]]:
    """Unlists the manifests that nobody pins; the pins that are left, each with its manifest."""
    local, manifests = core.env.local, core.env.manifests
    now_us = core.env.clock.now_us()
    for pin in pins.listed(local, core.env.shard):
        if pins.is_abandoned(local, pin, now_us):
            local.delete(paths.PinName(pin.id).name, durable=True)  # or its reader just did
    wanted = {pin.manifest_version for pin in pins.listed(local, core.env.shard)}
    for version in manifests.versions():
        if version != core.state.manifest.version and version not in wanted:
            manifests.unlist(version)
    held = pins.listed(local, core.env.shard)  # again: a reader may have pinned one before it was unlisted
    for version in manifests.unlisted_versions():
        if version in {pin.manifest_version for pin in held}:
            manifests.relist(version)
    listed = set(manifests.versions())
    return [(pin, manifests.read(pin.manifest_version)) for pin in held if pin.manifest_version in listed]


def _local_files(core: ShardCore) -> list[str]:
    local = core.env.local
    return [*local.list(paths.SEGMENT_DIR), *local.list(paths.CODEBOOK_DIR)]


def _in_use(core: ShardCore) -> set[str]:
    entries = [segment.entry for segment in core.open_segments()]
    return {f.name for entry in entries for f in (*entry.files.values(), *entry.objects.values())}


def _sealed_logs(core: ShardCore) -> list[LogSpan]:
    """All log files but the last, which is still written."""
    names = wal.file_names(core.env.local, core.env.shard)
    return [LogSpan(name, wal.first_seq_of(name), _last_seq(core, name)) for name in names[:-1]]


def _last_seq(core: ShardCore, name: str) -> int:
    if name not in core.log_ends:
        core.log_ends[name] = wal.read_file(core.env.local, name, last=False, published_seq=0).last_seq
    return core.log_ends[name]


def _delete_logs(core: ShardCore, logs: Sequence[LogSpan]) -> None:
    for span in logs:
        names = {c.id: c.name for c in core.state.tip.catalog.collections.values()}
        commit_log.keep(core.env.local, core.env.shard, span.name, names)
        core.env.local.delete(span.name)
        core.log_ends.pop(span.name, None)


def _ripe_intents(core: ShardCore) -> list[Intent]:
    building = core.building.ids()
    listed = intents.listed(core.env.local, core.env.shard)
    return [intent for intent in listed if intent.id not in building and intent.kind != borrowing.INTENT]


def _delete_objects(core: ShardCore, ripe: Sequence[Intent], keys: Sequence[str], current: Collection[str]) -> None:
    """Deletes cold objects that no pin in the store names either, and forgets the intents that are done with.

    ``ripe``: those that the plan was made from. One that was written since may name a key that just left ``current``.
    """
    if not ripe:
        return
    cold = core.env.cold
    try:
        deleted = cold.delete(keys)  # looks for pins after the local ones were looked for: a clone pins there first
    except FencedError as error:
        core.group.fail(error)  # this writer must stop
        return
    except StorageError as error:
        _log.warning("cold objects that nobody needs could not be deleted, which will be tried again: %s", error)
        return
    for intent in ripe:
        if all(key in deleted or key in current or not cold.owns(key) for key in intent.keys):
            intents.forget(core.env.local, intent.id)
