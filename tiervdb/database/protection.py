"""A writer and its repository: the log is shipped there, and how far that came is known here."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tiervdb.backup import attach, holdings, lineage, opened, windows
from tiervdb.backup.opened import OpenRepository
from tiervdb.backup.repository import Repository
from tiervdb.backup.wal_archive import ArchivePosition, Archiver, LogSource
from tiervdb.clock import Clock
from tiervdb.engine import wal
from tiervdb.engine.core import ShardCore
from tiervdb.engine.identity import this_process
from tiervdb.errors import ArchiveConflictError, FencedError, TiervdbError, WritesRefusedError
from tiervdb.format.documents import Identity
from tiervdb.format.repository_documents import RepositoryEpoch

ArchiveMode = Literal["off", "async", "sync"]
Behind = Literal["keep", "stall", "drop"]
_CLOSE_SECONDS = 10.0
_STALL_SECONDS = 0.1
_IDLE_COMPLETE_US = 10_000_000
_log = logging.getLogger("tiervdb")


@dataclass(frozen=True)
class Shipped:
    """How far the archive came. ``lag_seconds``: since when something is missing there; 0 if nothing is."""

    seq: int
    time_us: int
    lag_seconds: float
    failure: str | None


class Protection:
    """Ships the log of one open writer. Thread-safe.

    Nothing is asked of the repository until the first contact, and one that is away stops nothing but ``sync`` commits.
    """

    def __init__(
        self,
        core: ShardCore,
        identity: Identity,
        repository: Repository,
        mode: ArchiveMode,
        behind: Behind,
        clock: Clock,
    ) -> None:
        self.repository = repository
        self.mode = mode
        self._core = core
        self._identity = identity
        self._behind = behind
        self._clock = clock
        self._epoch: RepositoryEpoch | None = None
        self._epoch_lock = threading.Lock()
        self._failure: Exception | None = None
        self._completed_us = 0
        self._has_base = mode != "sync"
        self._shipped_bytes = 0  # of what was appended to the log in this process
        line = identity.timeline
        source = LogSource(
            local=core.env.local,
            shard=core.env.shard,
            database_id=identity.database_id,
            timeline=line.id,
            fork_seq=line.fork_seqs[core.env.shard] if line.fork_seqs else 0,
            fsynced=lambda: int(core.wal.published[wal.FSYNCED]),
            manifest=lambda: core.state.manifest,
        )
        self._clean_us = self._clean_at_first(source, identity)  # when nothing was missing
        self.archiver = Archiver(lambda: repository.open().vault, source, self.epoch)
        if mode != "off":
            core.log_bound = self._bound
        if mode == "sync" or (mode == "async" and behind == "stall"):
            core.before_commits = self._before_commits
        if mode == "sync":
            core.group.set_gate(self._gate)
        self._thread = _Ticker(self._tick, core.env.options.archive_seconds) if self._has_thread() else None

    def opened(self) -> OpenRepository:
        """The repository. Raises StorageError, NotARepositoryError, WrongKeyError."""
        return self.repository.open()

    def epoch(self) -> RepositoryEpoch:
        """This writer's tenure, begun at the first call. FencedError, RepositoryInUseError, StorageError."""
        with self._epoch_lock:
            if self._epoch is None:
                found = self.opened()
                opened.warn_if_single_writer(found)
                vault = found.vault
                fenced = attach.fence_if_taken_over(vault, self._identity)
                self._epoch = lineage.take_epoch(vault, self._identity, this_process(), fenced)
            return self._epoch

    def ship(self) -> ArchivePosition:
        """Archives all fsynced commits, and says in the repository up to when that is all. Raises as Archiver.ship."""
        appended = self._core.wal.bytes_appended
        try:
            position = self.archiver.ship()
            self._shipped_bytes = max(self._shipped_bytes, appended)
            self._complete(position)
        except (FencedError, ArchiveConflictError) as error:
            self._failure = error
            self._core.group.fail(error)  # this writer must stop
            raise
        except TiervdbError as error:
            self._failure = error
            raise
        self._failure = None
        return position

    def kick(self) -> None:
        """There is something to ship."""
        if self._thread is not None:
            self._thread.kick()

    def shipped(self) -> Shipped:
        """How far it came."""
        position = self.archiver.position
        seq, time_us = (0, 0) if position is None else (position.seq, position.time_us)
        clean = position is not None and seq >= self._core.state.tip.seq
        lag = 0.0 if clean else max(0, self._clock.now_us() - self._clean_us) / 1e6
        return Shipped(seq, time_us, lag, None if self._failure is None else str(self._failure))

    def stop(self) -> None:
        """Ends the shipping with a last try, once the log is sealed. A repository that is away is only logged."""
        if self._thread is not None:
            self._thread.stop(_CLOSE_SECONDS)
        if self.mode == "off" or self.archiver.stopped is not None:
            return
        try:
            self.archiver.ship()
        except TiervdbError as error:
            _log.warning(
                "%s was closed before all of its log was archived; it is kept, and shipped after the next opening: %s",
                self._core.env.local.root,
                error,
            )

    def _has_thread(self) -> bool:
        return self.mode != "off" and self._core.env.options.background

    def _tick(self) -> None:
        failing = self._failure is not None
        try:
            self.ship()
        except (FencedError, ArchiveConflictError) as error:
            if not self._core.closed:
                _log.error("%s: %s", self._core.env.local.root, error)
            raise
        except TiervdbError as error:
            if not failing:  # once, not every second
                _log.warning("%s: archiving failed and is tried again: %s", self._core.env.local.root, error)
            return
        if failing:
            _log.warning("%s: archiving goes on again", self._core.env.local.root)

    def _gate(self, seq: int) -> int:
        """For group commit: archives up to ``seq``; how far all is archived, if the repository is away."""
        try:
            done = self.archiver.ship(seq).seq
        except (FencedError, ArchiveConflictError):
            raise
        except TiervdbError as error:
            self._failure = error
            return self.archiver.archived_seq
        self._failure = None
        self._clean_us = self._clock.now_us()
        return done

    def _clean_at_first(self, source: LogSource, identity: Identity) -> int:
        """Until the repository was asked, all that the log here holds may be missing there."""
        seq, time_us, _ = source.beginning()
        if self._core.state.tip.seq <= seq:
            return self._clock.now_us()
        return time_us or identity.timeline.created_us

    def _bound(self) -> int:
        """How far the local log may go: what is archived; all of it where it is dropped rather than kept for ever."""
        core = self._core
        if self._behind == "drop" and self._is_behind():
            return core.state.manifest.flushed_seq
        return self.archiver.archived_seq

    def _is_behind(self) -> bool:
        """Whether more of the log waits to be archived than is allowed."""
        core = self._core
        return core.wal.bytes_appended - self._shipped_bytes > core.env.options.archive_behind_bytes

    def _before_commits(self) -> None:
        """Nothing is logged before what stands in its way is gone: WritesRefusedError."""
        if not self._has_base:
            self._require_base()
        if self._behind == "stall":
            self._stall()

    def _require_base(self) -> None:
        """Archived must mean restorable: what goes before the next commit has to be there, too."""
        line, path = self._identity.timeline.id, self._core.env.local.root
        try:
            seq = self.ship().seq
            self._has_base = seq == 0 or windows.can_restore(holdings.read(self.opened().vault), line, seq)
        except (FencedError, ArchiveConflictError):
            raise
        except TiervdbError as error:
            raise WritesRefusedError(
                f'{path} is open with archive="sync", and its repository cannot be asked: nothing was written. Bring '
                f'it back, or open with archive="async": {error}'
            ) from error
        if not self._has_base:
            raise WritesRefusedError(
                f'{path} is open with archive="sync", and what it holds up to commit {seq} cannot be restored from '
                f"{self.repository.url}: commits after it would be lost with this machine. Nothing was written; call "
                "backup() once, then write"
            )

    def _stall(self) -> None:
        """Makes writers wait until the archive has caught up. WritesRefusedError when that takes too long."""
        timeout = self._core.env.options.commit_timeout
        waited = 0.0
        while self._is_behind():
            try:
                self.ship()
            except (FencedError, ArchiveConflictError):
                raise
            except TiervdbError as error:
                if waited >= timeout:
                    raise WritesRefusedError(
                        f'the repository does not take the log (archive_behind="stall"), and {timeout:g} s went by: '
                        f'nothing was written. Bring it back, or open with archive_behind="keep": {error}'
                    ) from error
                threading.Event().wait(_STALL_SECONDS)
                waited += _STALL_SECONDS

    def _complete(self, position: ArchivePosition) -> None:
        """Says that nothing is missing up to now, if so; not more often than it matters."""
        now_us = self._clock.now_us()
        core = self._core
        moved = position.time_us > self._completed_us
        if position.seq < core.state.tip.seq or not (moved or now_us - self._completed_us >= _IDLE_COMPLETE_US):
            behind = position.seq < core.state.tip.seq
            self._clean_us = max(self._clean_us, position.time_us) if behind else now_us
            return
        seq, floor_us = core.raise_floor()
        if seq == position.seq:
            self.archiver.complete(floor_us)
            self._completed_us = self._clean_us = floor_us
        if self.mode == "sync":
            core.group.confirmed(position.seq)


class _Ticker:
    """A thread that calls ``work`` every few seconds, or sooner when kicked, until it raises or is stopped."""

    def __init__(self, work: Callable[[], None], seconds: float) -> None:
        self._work = work
        self._seconds = seconds
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tiervdb-archive", daemon=True)
        self._thread.start()

    def kick(self) -> None:
        self._wake.set()

    def stop(self, seconds: float) -> None:
        self._stopping.set()
        self._wake.set()
        if threading.current_thread() is not self._thread:
            self._thread.join(seconds)

    def _run(self) -> None:
        while True:
            self._wake.wait(self._seconds)
            self._wake.clear()
            if self._stopping.is_set():
                return
            try:
                self._work()
            except TiervdbError:
                return
