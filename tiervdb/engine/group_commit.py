"""Group commit: one write and one fsync for all threads that wait.

The first thread that waits becomes the leader and writes whatever is queued, the others sleep until their seq is
durable. Commits become visible in the order of their seqs, after they are durable in the database's mode.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from tiervdb.clock import Clock
from tiervdb.config import Durability
from tiervdb.engine.wal import VISIBLE, Wal
from tiervdb.errors import CommitOutcomeUnknown, WritesRefusedError


class GroupCommit:
    """The queue between the commit lock and the log.

    ``on_durable(seq)`` is called by the leader, in order, for the last seq of every group before its threads wake up.
    """

    def __init__(
        self, wal: Wal, durability: Durability, on_durable: Callable[[int], None], clock: Clock, timeout: float
    ) -> None:
        self._wal = wal
        self._durability = durability
        self._on_durable = on_durable
        self._clock = clock
        self._timeout = timeout
        self._changed = threading.Condition()
        self._queue: list[tuple[int, int, bytes]] = []
        self._leading = False
        self._failure: BaseException | None = None
        self._late_seq = 0
        self.durable_seq = wal.end.seq
        self.fsynced_seq = wal.end.seq

    def check_whole(self) -> None:
        """Raises WritesRefusedError after a failed write: what is in memory may differ from what is on disk."""
        if self._failure is not None:
            raise WritesRefusedError(
                f"an earlier write failed ({self._failure}); nothing was written now. "
                "Remove the cause, close this database and open it again: what was acknowledged is there"
            ) from self._failure

    def check_writable(self) -> None:
        """Raises WritesRefusedError after a failed write, and while the outcome of a commit is unknown."""
        self.check_whole()
        if self._late_seq > self.durable_seq:
            raise WritesRefusedError(
                f"commit {self._late_seq} is still waiting for the disk, so that its outcome is unknown; nothing was "
                "written now. Try again"
            )

    def enqueue(self, seq: int, time_us: int, record: bytes) -> None:
        """Called under the commit lock, so that the queue is in the order of seqs."""
        with self._changed:
            self._queue.append((seq, time_us, record))

    def wait(self, seq: int) -> None:
        """Returns when the commit is durable and visible; raises CommitOutcomeUnknown when that cannot be confirmed."""
        deadline = self._clock.monotonic() + self._timeout
        while True:
            with self._changed:
                if self.durable_seq >= seq:
                    return
                if self._failure is not None:
                    raise self._unknown(seq, str(self._failure)) from self._failure
                if self._leading:
                    self._follow(seq, deadline)
                    continue
                self._leading = True
                group, self._queue = self._queue, []
            self._lead(group)

    def fsync(self) -> None:
        """Syncs what durability="os" has only written: before a snapshot, a seal or a flush relies on it."""
        with self._changed:
            self._changed.wait_for(lambda: not self._leading)
            self._raise_failure()
            self._leading = True
            group, self._queue = self._queue, []
        self._lead(group, force_sync=True)
        with self._changed:
            self._raise_failure()

    def fail(self, error: BaseException) -> None:
        """Refuses all further writes: what is in memory may differ from the log."""
        with self._changed:
            self._failure = error
            self._changed.notify_all()

    def close(self) -> None:
        """Syncs the log, unless a write failed before, and seals it."""
        try:
            if self._failure is None:
                self.fsync()
        finally:
            with self._changed:  # a leader that still writes must not find its file closed
                self._changed.wait_for(lambda: not self._leading)
            self._wal.seal()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._unknown(self.durable_seq + 1, str(self._failure)) from self._failure

    def _follow(self, seq: int, deadline: float) -> None:
        remaining = deadline - self._clock.monotonic()
        if remaining <= 0:
            self._late_seq = max(self._late_seq, seq)
            raise self._unknown(seq, f"the disk did not confirm it within {self._timeout:g} s")
        self._changed.wait(remaining)

    def _lead(self, group: list[tuple[int, int, bytes]], force_sync: bool = False) -> None:
        try:
            if group:
                self._wal.append(group)
            synced = force_sync or self._durability == "fsync" or self._wal.is_full
            if synced:
                self._wal.sync()
            if group:
                self._on_durable(group[-1][0])
                self._wal.publish(VISIBLE, group[-1][0])
            if synced:
                self.fsynced_seq = self._wal.end.seq  # only now: a flush up to here must find all of it visible
        except BaseException as error:
            self._finish(failure=error)
            if not isinstance(error, Exception):
                raise  # an interrupt or a simulated crash is not ours to swallow
        else:
            self._finish(durable=group[-1][0] if group else None)

    def _finish(self, durable: int | None = None, failure: BaseException | None = None) -> None:
        with self._changed:
            if durable is not None:
                self.durable_seq = durable
            if failure is not None:
                self._failure = failure
            self._leading = False
            self._changed.notify_all()

    @staticmethod
    def _unknown(seq: int, why: str) -> CommitOutcomeUnknown:
        return CommitOutcomeUnknown(
            f"commit {seq} was handed to the log, but it is not known to be durable: {why}. "
            f"Writes are refused until it is, or until the database is opened again; log(since={seq}) tells whether "
            "it holds",
            seq,
        )
