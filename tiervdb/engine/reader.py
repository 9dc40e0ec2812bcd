"""A shard that is only read: beside the writer, in any process, or at a point in the past."""

from __future__ import annotations

import logging
import random
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass

from tiervdb.clock import Clock
from tiervdb.engine import pins, recovery, time_travel, wal
from tiervdb.engine.catalog import CatalogState
from tiervdb.engine.manifest_store import ManifestStore
from tiervdb.engine.opener import SegmentOpener
from tiervdb.engine.view import Tools, View
from tiervdb.errors import CorruptionError, ObjectNotFoundError, OutsideWindowError, StateError, StorageError
from tiervdb.format import paths
from tiervdb.format.documents import Owner, Pin
from tiervdb.format.manifest import Manifest
from tiervdb.storage import place
from tiervdb.storage.local_dir import FileLock, LocalDir

_ATTEMPTS = 10
_log = logging.getLogger("tiervdb")


@dataclass(frozen=True)
class ReaderSurroundings:
    """What a reader is given."""

    local: LocalDir
    shard: int
    clock: Clock
    rng: random.Random
    manifests: ManifestStore
    opener: SegmentOpener
    tools: Tools
    owner: Owner
    timeline: str


@dataclass(frozen=True)
class _Held:
    view: View
    manifest: Manifest


class Reader:
    """One state. It is pinned as long as its view lives, by a file that goes with this process. Thread-safe."""

    def __init__(self, env: ReaderSurroundings, choose: Callable[[], time_travel.Stretch], moves: bool) -> None:
        """``choose``: which manifest and seq to show. ``moves``: whether refresh may choose again."""
        self.env = env
        self._choose = choose
        self._moves = moves
        self._lock = threading.Lock()
        self._held = self._hold()

    @classmethod
    def newest(cls, env: ReaderSurroundings) -> Reader:
        """The newest state that the writer has published, or, if nobody writes, that the log holds."""
        return cls(env, lambda: time_travel.Stretch(env.manifests.current(), newest_seq(env)), moves=True)

    @classmethod
    def at(cls, env: ReaderSurroundings, stretch: time_travel.Stretch, seq: int) -> Reader:
        """The state at one seq of a stretch that is held."""
        return cls(env, lambda: time_travel.Stretch(stretch.manifest, seq), moves=False)

    def view(self) -> View:
        """The state that is shown."""
        return self._held.view

    def catalog(self) -> CatalogState:
        """The collections in that state."""
        return self._held.view.catalog

    def manifest(self) -> Manifest:
        """The manifest that the state begins with."""
        return self._held.manifest

    def refresh(self) -> View:
        """Moves to the newest state and returns it."""
        if not self._moves:
            raise StateError("a view of the past does not move; open the database, or at() another point")
        with self._lock:
            self._held = self._hold()
            return self._held.view

    def close(self) -> None:
        """Gives the connections to the cold store back; the pin goes with the view. Not where others share them."""
        self.env.opener.close()

    def _hold(self) -> _Held:
        for _ in range(_ATTEMPTS):
            try:
                stretch = self._choose()
                pin, lock = self._pin(stretch)
            except ObjectNotFoundError:
                continue  # the writer went on, or one that just opened swept the staging folder
            try:
                if stretch.manifest.version in self.env.manifests.versions():
                    view = self._replayed(stretch)
                    weakref.finalize(view, _unpin, self.env, pin, lock)
                    return _Held(view, stretch.manifest)
            except (ObjectNotFoundError, OutsideWindowError, CorruptionError) as error:
                _unpin(self.env, pin, lock)
                if self._has_moved(stretch):
                    continue  # what another pin lists may have lost its log before ours was there: that is no damage
                if not isinstance(error, ObjectNotFoundError):
                    raise
                raise CorruptionError(f"{error}, but the database needs it; run `tiervdb check`") from error
            except BaseException:
                _unpin(self.env, pin, lock)
                raise
            _unpin(self.env, pin, lock)
        raise StateError(f"the database in {self.env.local.root} changes too fast to be pinned; try again")

    def _has_moved(self, stretch: time_travel.Stretch) -> bool:
        try:
            return self._choose().manifest.version != stretch.manifest.version
        except ObjectNotFoundError:  # just now
            return True

    def _replayed(self, stretch: time_travel.Stretch) -> View:
        state = recovery.load(stretch.manifest, self.env.opener, self.env.tools)
        if stretch.last_seq > stretch.manifest.flushed_seq:
            files = wal.read_after(self.env.local, self.env.shard, stretch.manifest.flushed_seq, 0, stretch.last_seq)
            recovery.replay(state, files, stretch.last_seq)
        return state.view(state.tip)

    def _pin(self, stretch: time_travel.Stretch) -> tuple[Pin, FileLock | None]:
        pin = Pin(
            id=paths.random_id(self.env.rng),
            kind="reader",
            timeline=self.env.timeline,
            shard=self.env.shard,
            manifest_version=stretch.manifest.version,
            seq=stretch.last_seq,
            time_us=stretch.manifest.flushed_time_us,
            created_us=self.env.clock.now_us(),
            owner=self.env.owner,
        )
        return pin, pins.hold(self.env.local, pin)


def newest_seq(env: ReaderSurroundings) -> int:
    """The last seq that may be shown: what the writer published, or the end of the log if nobody writes."""
    published = env.local.shared_words(paths.PublishedName(env.shard).name, 2)
    manifest = env.manifests.current()
    is_written = env.local.is_locked(paths.WRITER_LOCK)
    visible, fsynced = int(published[wal.VISIBLE]), int(published[wal.FSYNCED])
    files = wal.read_after(env.local, env.shard, manifest.flushed_seq, 0 if is_written else fsynced)
    end = max([manifest.flushed_seq, *(file.last_seq for file in files)])
    # A writer that is still recovering from a power loss has not yet corrected what was published before it.
    return max(manifest.flushed_seq, min(visible, end)) if is_written else end


def _unpin(env: ReaderSurroundings, pin: Pin, lock: FileLock | None) -> None:
    """Runs when the view is gone. Not in a child after fork: there the pin is still the parent's."""
    if place.owner()[0] != env.owner.pid:
        return
    try:
        env.local.delete(paths.PinName(pin.id).name)
    except StorageError as error:  # without its lock it is abandoned, and the writer collects it
        _log.warning("a reader's pin stays until maintenance finds it: %s", error)
    finally:
        if lock is not None:
            lock.release()
