"""One shard's heart: its locks, its commits, and the installation of manifests. What it is made of comes in from
open.py.

Locks, always taken in this order: ``work`` (one merge, move or collection of garbage at a time), ``flush_lock`` (one
flush at a time), ``manifest_lock`` (who changes the manifest), ``commit_lock`` (who changes or captures the state in
memory).
"""

from __future__ import annotations

import random
import threading
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from tiervdb.clock import Clock
from tiervdb.config import Durability, Options
from tiervdb.engine import intents, time_floor
from tiervdb.engine.building import Building
from tiervdb.engine.catalog import CatalogState, number
from tiervdb.engine.cold_store import ColdStore
from tiervdb.engine.group_commit import GroupCommit
from tiervdb.engine.manifest_store import ManifestStore
from tiervdb.engine.memtable import Memtable
from tiervdb.engine.opener import SegmentOpener
from tiervdb.engine.source import SegmentState
from tiervdb.engine.state import Late, Moved, ShardState, Tip
from tiervdb.engine.view import Tools, View
from tiervdb.engine.wal import Wal
from tiervdb.errors import ClosedError, WritesRefusedError
from tiervdb.format import manifest as fmt
from tiervdb.format.manifest import Manifest, ManifestEdit
from tiervdb.format.operations import DeleteRows, Operation, UpsertRows
from tiervdb.format.wal_record import encode_payloads, finish_record
from tiervdb.segment.segment import Segment
from tiervdb.storage.local_dir import LocalDir
from tiervdb.types import CollectionSchema, Commit, to_datetime

Build = Callable[[View, pa.Array | None], list[Operation]]

_LOADING = 4  # times larger memtables: fewer segments to look ids up in
_ATTEMPTS = 4  # to build a commit without the commit lock


@dataclass(frozen=True)
class Surroundings:
    """What a shard is given: nothing in the engine reaches for a clock, a random number or a file by itself."""

    local: LocalDir
    shard: int
    clock: Clock
    rng: random.Random
    options: Options
    manifests: ManifestStore
    opener: SegmentOpener
    cold: ColdStore
    tools: Tools


@dataclass(frozen=True)
class Frozen:
    """A memtable that takes no more commits, and the commit that it ends with."""

    table: Memtable
    tip: Tip


class ShardCore:
    """Commits, views, and installed manifests. Thread-safe."""

    def __init__(self, env: Surroundings, state: ShardState, wal: Wal, durability: Durability) -> None:
        self.env = env
        self.state = state
        self.wal = wal
        self.group = GroupCommit(wal, durability, self._on_durable, env.clock, env.options.commit_timeout)
        self.work = threading.RLock()
        self.flush_lock = threading.RLock()
        self.graph_lock = threading.RLock()  # one graph at a time; taken before all others
        self.manifest_lock = threading.RLock()
        self.commit_lock = threading.RLock()
        self.building = Building()
        self.loading: dict[int, int] = {}  # collections that are loaded to the cold tier, and the seqs before the loads
        self.log_ends: dict[str, int] = {}  # last seqs of sealed log files
        self.closed = False
        self.log_bound: Callable[[], int] | None = None  # the log after this seq stays: it is not archived yet
        self.before_commits: Callable[[], None] | None = None  # may make a writer wait, or refuse it
        self._floor_us = time_floor.read(env.local)
        self.visible: Tip = state.tip
        self._pending: deque[Tip] = deque()
        self._view: View | None = None
        self._frozen_tip: Tip | None = None
        self._wal_floor = 0  # bytes that had been appended when the active memtable began
        self._open_segments: weakref.WeakSet[Segment] = weakref.WeakSet(s.segment for s in state.segments.values())

    def require_open(self) -> None:
        """Raises ClosedError after ``close``: another process may write here by now."""
        if self.closed:
            raise ClosedError(f"the database in {self.env.local.root} was closed; open it again")

    def close(self) -> None:
        """Waits for work that is under way, then syncs and seals the log. Nothing is written after it."""
        with self.graph_lock, self.work, self.flush_lock, self.manifest_lock, self.commit_lock:
            self.closed = True
        self.group.close()

    # -- reading

    def view(self) -> View:
        """The state at the visible seq."""
        view = self._view
        if view is None:
            with self.commit_lock:
                view = self._view = self.state.view(self.visible)
        return view

    def open_segments(self) -> list[Segment]:
        """Every segment that a view somewhere in this process may still read, listed or not."""
        return list(self._open_segments)

    # -- committing

    def commit(self, operations: Sequence[Operation], note: str | None = None) -> Commit:
        """Logs and applies one atomic commit; returns once it is durable and visible.

        Raises, before anything is logged, what catalog.apply raises and WritesRefusedError; later CommitOutcomeUnknown.
        """
        with self.commit_lock:
            commit = self._log(operations, note)
        self.group.wait(commit.seq)
        return commit

    def commit_on(self, build: Callable[[CatalogState], Sequence[Operation]]) -> bool:
        """Commits what ``build`` makes of the newest catalog, which nobody changes between; False: it made nothing."""
        with self.commit_lock:
            operations = build(self.state.tip.catalog)
            commit = self._log(operations, None) if operations else None
        if commit is not None:
            self.group.wait(commit.seq)
        return commit is not None

    def commit_where(self, build: Build, schema: CollectionSchema, note: str | None = None) -> Commit:
        """Commits what ``build(view, None)`` makes; ids written since are built again under the commit lock.

        Where a flush came between, it is all built again: a few times without the lock, for it may read cold rows.
        """
        commit = None
        for _ in range(_ATTEMPTS):
            base = self.view()
            operations = build(base, None)
            with self.commit_lock:
                now = self.state.view(self.state.tip)
                changed = self._written_since(schema, base.seq, now)
                if changed is not None:
                    again = build(now, changed) if len(changed) else []
                    commit = self._log_some([*_without(operations, changed), *again], now, note)
                    break
        if commit is None:
            with self.commit_lock:
                now = self.state.view(self.state.tip)
                commit = self._log_some(build(now, None), now, note)
        self.group.wait(commit.seq)
        return commit

    def _log_some(self, operations: Sequence[Operation], now: View, note: str | None) -> Commit:
        """Logs the operations that concern any row; where none does, the newest commit stands for it."""
        some = [operation for operation in operations if not _is_empty(operation)]
        return self._log(some, note) if some else Commit(now.seq, to_datetime(now.time_us))

    def _log(self, operations: Sequence[Operation], note: str | None) -> Commit:
        self.require_open()
        self.group.check_writable()
        tip = self.state.tip
        numbered = number(tip.catalog, list(operations))
        self.state.next_catalog(numbered)
        encoded = encode_payloads(numbered, tip.catalog.collections)
        seq, time_us = tip.seq + 1, max(self.env.clock.now_us(), tip.time_us + 1, self._floor_us + 1)
        try:
            counts = self.state.apply(numbered, seq, time_us)
            record = finish_record(
                encoded,
                shard=self.env.shard,
                seq=seq,
                time_us=time_us,
                write_id=self.env.rng.randbytes(16),
                durable_seq=self.group.fsynced_seq,
                salt=self.wal.salt,
                counts=counts,
                note=note,
            )
        except BaseException as error:
            self.group.fail(error)  # the memtable may hold half of the commit
            raise
        self._pending.append(self.state.tip)
        self.group.enqueue(seq, time_us, record)
        upserted, deleted = sum(c.upserted for c in counts), sum(c.deleted for c in counts)
        return Commit(seq, to_datetime(time_us), upserted, deleted)

    def raise_floor(self) -> tuple[int, int]:
        """Makes sure, durably, that all later commits get a later time than now: the last seq, and that time."""
        with self.commit_lock:
            self.require_open()
            seq, time_us = self.state.tip.seq, max(self.env.clock.now_us(), self.state.tip.time_us, self._floor_us)
            self._floor_us = time_us
        time_floor.write(self.env.local, time_us)
        return seq, time_us

    def _on_durable(self, seq: int) -> None:
        with self.commit_lock:
            while self._pending and self._pending[0].seq <= seq:
                self.visible = self._pending.popleft()
            self._view = None

    def _written_since(self, schema: CollectionSchema, seq: int, now: View) -> pa.Array | None:
        """The ids of rows written or deleted after ``seq``; None if that is not known because they were flushed."""
        if self.state.manifest.flushed_seq > seq:
            return None
        return now.written_since(schema, seq)

    # -- flushing and installing

    def needs_flush(self) -> bool:
        """Whether the active memtable, or the log behind it, is large enough to be flushed."""
        options, active = self.env.options, self.state.active
        return active.floats >= self.flush_floats or self.wal.bytes_appended - self._wal_floor >= options.wal_file_bytes

    @property
    def flush_floats(self) -> int:
        """The size of a memtable that is to be flushed: larger while loads run, whose rows soon move on."""
        return self.env.options.flush_floats * (_LOADING if self.loading else 1)

    def freeze(self) -> Frozen | None:
        """Closes the active memtable, or gives back one that an earlier flush could not finish; None: nothing to do."""
        self.group.check_whole()
        with self.commit_lock:
            self.require_open()
            state = self.state
            if state.frozen is None:
                if state.tip.seq == state.manifest.flushed_seq:
                    return None
                state.frozen, state.active = state.active, Memtable()
                self._frozen_tip = state.tip
                self._wal_floor = self.wal.bytes_appended
                self._view = None
            if self._frozen_tip is None:
                raise WritesRefusedError("a flush was interrupted in memory; close the database and open it again")
            return Frozen(state.frozen, self._frozen_tip)

    def install(
        self,
        edit: ManifestEdit,
        moved: Moved | None = None,
        late: Callable[[Mapping[str, SegmentState]], Late] | None = None,
    ) -> Manifest:
        """Publishes the edited manifest, then swaps the state in memory. The caller holds the manifest lock.

        WritesRefusedError after a failed write: the next manifest may be there, and what it names must not change.

        ``moved``: as in ShardState.swap. ``late``: called under the commit lock with the new segments. An edit with
        ``flushed`` ends the frozen memtable.
        """
        self.group.check_whole()
        self.require_open()
        manifest = fmt.apply(self.state.manifest, edit)
        known = {s.id: s for s in self.state.segments.values()}
        self._note_removed_objects(manifest)
        opened = [self._opened(entry, known.get(entry.id), manifest) for entry in manifest.segments]
        self._publish(manifest)
        with self.commit_lock:
            try:
                self._swap(manifest, edit, opened, moved or {}, late)
            except BaseException as error:
                self.group.fail(error)  # the manifest is there, and memory does not follow it
                raise
        return manifest

    def _swap(
        self,
        manifest: Manifest,
        edit: ManifestEdit,
        opened: Sequence[SegmentState],
        moved: Moved,
        late: Callable[[Mapping[str, SegmentState]], Late] | None,
    ) -> None:
        found = late({s.id: s for s in opened}) if late is not None else ()
        if edit.flushed is not None:
            self.state.frozen = None
            self._frozen_tip = None
            self.wal.forget_chains(edit.flushed.seq)
        self.state.swap(manifest, opened, moved, found)
        self._view = None

    def _note_removed_objects(self, manifest: Manifest) -> None:
        """Cold objects that lose their manifest are written down first: a crash must not leave them for ever."""
        kept = manifest_objects(manifest)
        removed = [key for key in manifest_objects(self.state.manifest) if key not in kept]
        if removed:
            env = self.env
            intents.record(env.local, env.shard, removed, manifest.epoch, env.clock, env.rng, "remove")

    def _opened(self, entry: fmt.SegmentEntry, known: SegmentState | None, manifest: Manifest) -> SegmentState:
        if known is not None and known.entry == entry:
            return known
        state = self.env.opener.open(entry, manifest, known)
        self._open_segments.add(state.segment)
        return state

    def _publish(self, manifest: Manifest) -> None:
        try:
            self.env.manifests.publish(manifest)
        except Exception as error:
            if manifest.version in self.env.manifests.versions():
                self.group.fail(error)  # it is there, but perhaps not for good: only reopening tells
            raise


def manifest_objects(manifest: Manifest) -> list[str]:
    """The cold keys that a manifest names."""
    codebooks = [c.object.name for c in manifest.codebooks if c.object is not None]
    return [*(f.name for s in manifest.segments for f in s.objects.values()), *codebooks]


def _is_empty(operation: Operation) -> bool:
    match operation:
        case UpsertRows(_, batch):
            return not len(batch)
        case DeleteRows(_, ids):
            return not len(ids)
        case _:
            return False


def _without(operations: list[Operation], ids: pa.Array) -> list[Operation]:
    """The operations without their rows of these ids."""
    return [_without_rows(operation, ids) for operation in operations] if len(ids) else operations


def _without_rows(operation: Operation, ids: pa.Array) -> Operation:
    match operation:
        case UpsertRows(collection, batch, verb):
            kept = np.flatnonzero(~_is_in(batch.ids, ids))
            return UpsertRows(collection, batch.take(kept), verb)
        case DeleteRows(collection, deleted):
            return DeleteRows(collection, deleted.filter(pa.array(~_is_in(deleted, ids))))
        case _:
            return operation


def _is_in(ids: pa.Array, among: pa.Array) -> np.ndarray:
    if ids.type != among.type:  # rows of another collection
        return np.zeros(len(ids), np.bool_)
    found: np.ndarray = pa.compute.is_in(ids, value_set=among).to_numpy(zero_copy_only=False)
    return found
