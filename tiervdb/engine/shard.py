"""One shard: everything that the layers above may do with it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from tiervdb.config import TierPolicy
from tiervdb.engine import cold_merge, compaction, flush, gc, pins, snapshots, tiering
from tiervdb.engine.catalog import CatalogState
from tiervdb.engine.core import Build, ShardCore
from tiervdb.engine.maintenance import Maintenance
from tiervdb.engine.snapshots import SnapshotInfo
from tiervdb.engine.tier_load import ColdLoad
from tiervdb.engine.tier_plan import TierPlan
from tiervdb.engine.tier_policy import PolicyMove
from tiervdb.engine.tiering import TierResult
from tiervdb.engine.view import View
from tiervdb.errors import InvalidInputError, StateError
from tiervdb.format import paths
from tiervdb.format.documents import Pin
from tiervdb.format.manifest import Manifest, SnapshotName
from tiervdb.format.operations import Operation
from tiervdb.storage.local_dir import FileLock
from tiervdb.types import CollectionSchema, Commit

_T = TypeVar("_T")
Progress = Callable[[int, int], None]  # rows done, rows in all


class Shard:
    """An open shard that may be written. Thread-safe. ``close`` once, when no thread uses it any more."""

    def __init__(self, core: ShardCore, lock: FileLock) -> None:
        self.core = core
        self._lock = lock
        self._commits = ThreadPoolExecutor(max_workers=1, thread_name_prefix="tiervdb-commit")
        self.last_acts: list[Callable[[], None]] = []  # once the log is sealed, before the directory is released
        self._maintenance = Maintenance(self.tend_once, self.build_graph_once) if core.env.options.background else None

    # -- reading

    def view(self) -> View:
        """The newest visible state: immutable, and consistent over all collections."""
        return self.core.view()

    def catalog(self) -> CatalogState:
        """The collections in that state, without making a view of it."""
        return self.core.visible.catalog

    def manifest(self) -> Manifest:
        """The current manifest."""
        return self.core.state.manifest

    # -- writing

    def commit(self, operations: Sequence[Operation], note: str | None = None) -> Commit:
        """Applies the operations as one atomic, durable commit. See ShardCore.commit for errors."""
        self._make_room()
        commit = self._uninterrupted(lambda: self.core.commit(operations, note))
        self._kick()
        return commit

    def commit_where(self, build: Build, schema: CollectionSchema, note: str | None = None) -> Commit:
        """Commits what ``build`` makes of a view; what was written since is built again under the commit lock."""
        self._make_room()
        commit = self._uninterrupted(lambda: self.core.commit_where(build, schema, note))
        self._kick()
        return commit

    def _uninterrupted(self, action: Callable[[], _T]) -> _T:
        """Python raises KeyboardInterrupt only in the main thread: there, Ctrl-C ends the waiting, not the work."""
        if threading.current_thread() is not threading.main_thread():
            return action()
        try:
            future = self._commits.submit(action)
        except RuntimeError:  # closed: the action says so itself
            return action()
        return future.result()

    def _make_room(self) -> None:
        """Keeps the memtable from outgrowing memory: where no background thread keeps up, the writer flushes."""
        core = self.core
        if core.before_commits is not None:
            core.before_commits()
        limit = core.flush_floats * (1 if self._maintenance is None else 4)
        if core.state.active.floats >= limit:
            self.flush()

    def _kick(self) -> None:
        if self._maintenance is not None and self.core.needs_flush():
            self._maintenance.kick()

    # -- maintenance

    def flush(self) -> bool:
        """Moves the memtable into segments; False if it was empty."""
        return self._uninterrupted(lambda: flush.flush(self.core))

    def maintain(self) -> None:
        """Does all that is due, and waits for what the background thread is about."""
        while True:
            version = self.core.state.manifest.version
            while self.maintain_once():
                pass
            for under_way in (self.core.flush_lock, self.core.work, self.core.graph_lock):
                with under_way:
                    pass
            if self.core.state.manifest.version == version:
                return

    def maintain_once(self) -> bool:
        """Does the most urgent piece of background work; False if nothing was due."""
        return self._uninterrupted(lambda: self.tend_once() or self.build_graph_once())

    def tend_once(self) -> bool:
        """Like maintain_once, but for graphs, which take long."""
        core = self.core
        if core.needs_flush() and flush.flush(core):
            return True
        if snapshots.expire(core) or compaction.merge_once(core):
            return True
        if gc.collect(core).is_something:
            return True
        policy = core.env.options.tiering  # last what needs the cold store, which may be away
        return (policy is not None and tiering.move_once(core, policy)) or cold_merge.merge_cold_once(core)

    def build_graph_once(self) -> bool:
        """Builds the graph that is wanted most; False if none is. Given up when the shard is closed."""
        stopping = self._maintenance.stopping.is_set if self._maintenance is not None else bool
        return compaction.build_graph_once(self.core, stopping)

    @property
    def background_failure(self) -> Exception | None:
        """What the background work failed with, if it did and no later run went well."""
        return None if self._maintenance is None else self._maintenance.failure

    # -- tiers

    def plan_tiers(self, schema: CollectionSchema, fraction: float, to_cold: bool = True) -> TierPlan:
        """Which rows demote or promote would move, without moving any."""
        return tiering.plan_for(self.core, schema, fraction, to_cold)

    def plan_policy(self, policy: TierPolicy) -> tuple[PolicyMove, ...]:
        """What a policy would move now."""
        return tiering.policy_plan(self.core, policy)

    def demote(self, schema: CollectionSchema, fraction: float | None, progress: Progress | None = None) -> TierResult:
        """Moves rows, the oldest first, to the cold store until this fraction of the collection is there."""
        wanted = 1.0 if fraction is None else fraction
        return self._uninterrupted(lambda: tiering.demote(self.core, schema, wanted, progress))

    def promote(self, schema: CollectionSchema, fraction: float | None, progress: Progress | None = None) -> TierResult:
        """Moves cold rows, the newest first, back to local disk until this fraction of the collection is hot."""
        wanted = 1.0 if fraction is None else fraction
        return self._uninterrupted(lambda: tiering.promote(self.core, schema, wanted, progress))

    def load_cold(self, schema: CollectionSchema, seq: int, earlier: tuple[int, int] | None = None) -> ColdLoad:
        """A load of rows, committed after ``seq``, that go to the cold store while it runs: a context manager.

        ``earlier``: the seq before the first and that of the last commit of the run that this one goes on with.
        """
        return ColdLoad(self.core, schema, seq, earlier)

    # -- snapshots and pins

    def snapshot(self, name: str, expires_us: int | None = None) -> SnapshotName:
        """Names the newest durable state and keeps it."""
        return self._uninterrupted(lambda: snapshots.create(self.core, name, expires_us))

    def snapshots(self) -> list[SnapshotInfo]:
        return snapshots.describe(self.core)

    def drop_snapshot(self, name: str) -> None:
        self._uninterrupted(lambda: snapshots.drop(self.core, name))

    def pins(self) -> list[Pin]:
        return pins.listed(self.core.env.local, self.core.env.shard)

    def release_pin(self, pin_id: str) -> None:
        """Releases a pin, here or in the cold store, whose holder is gone.

        PinNotFoundError; StateError if a reader still reads; a snapshot is to be dropped by its name instead.
        """
        for pin in self.pins():
            if pin.id == pin_id and pin.kind == "snapshot":
                raise InvalidInputError(
                    f"pin {pin_id} belongs to snapshot {pin.name!r}: use drop_snapshot({pin.name!r})"
                )
            if pin.id == pin_id and pin.kind == "reader" and not pins.is_abandoned(self.core.env.local, pin, 0):
                by = f"pid {pin.owner.pid} on {pin.owner.host}" if pin.owner is not None else "another process"
                raise StateError(f"pin {pin_id} is in use ({by}): close the database there, and its pin goes by itself")
        env = self.core.env
        if env.cold.is_private or not paths.is_id(pin_id) or env.local.exists(paths.PinName(pin_id).name):
            pins.release(env.local, pin_id)
        else:
            env.cold.release(pin_id)

    # -- the end

    def close(self) -> None:
        """Stops the background work, syncs the log and gives the connections to the cold store back."""
        if self._maintenance is not None:
            self._maintenance.stop()
        self._commits.shutdown()
        try:
            self.core.close()
            for act in self.last_acts:
                act()
        finally:
            self._lock.release()
            self.core.env.opener.close()
