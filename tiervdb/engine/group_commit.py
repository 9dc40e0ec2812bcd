"""Group commit: one write and one fsync for all threads that wait.

The first thread that waits becomes the leader and writes whatever is queued, the others sleep until their seq is
durable. Commits become visible in the order of their seqs, after they are durable in the database's mode: written,
fsynced, or, behind a gate, confirmed elsewhere too. What the gate does not confirm stays logged and is asked about
again, by whoever waits and by whoever confirms it later.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from tiervdb.clock import Clock
from tiervdb.config import Durability
from tiervdb.engine.wal import VISIBLE, Wal
from tiervdb.errors import CommitOutcomeUnknown, WritesRefusedError

Gate = Callable[[int], int]  # asks for all up to a fsynced seq; the highest seq that is confirmed

_PAUSE = 0.2  # seconds until the gate is asked again


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
        self._gate: Gate | None = None
        self.durable_seq = wal.end.seq
        self.fsynced_seq = wal.end.seq

    def set_gate(self, gate: Gate) -> None:
        """From now on commits are durable only once the gate has confirmed them. Before the first commit."""
        self._gate = gate

    def confirmed(self, seq: int) -> None:
        """The gate confirmed all up to ``seq``, without being asked by a commit."""
        with self._changed:
            ready = not self._leading and self._failure is None and self._gate is not None
            seq = min(seq, self.fsynced_seq)
            if not ready or seq <= self.durable_seq:
                return  # a leader that is at it asks the gate itself
            self._leading = True
        self._settle(seq)

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
                f"commit {self._late_seq} is still waiting to be confirmed, so that its outcome is unknown; nothing "
                "was written now. Try again"
            )

    def enqueue(self, seq: int, time_us: int, record: bytes) -> None:
        """Called under the commit lock, so that the queue is in the order of seqs."""
        with self._changed:
            self._queue.append((seq, time_us, record))

    def wait(self, seq: int) -> None:
        """Returns when the commit is durable and visible; raises CommitOutcomeUnknown when that cannot be confirmed."""
        deadline = self._clock.monotonic() + self._timeout
        asked = 0  # times that the gate was asked in vain
        while True:
            with self._changed:
                if self.durable_seq >= seq:
                    return
                if self._failure is not None:
                    raise self._unknown(seq, str(self._failure)) from self._failure
                if self._leading:
                    self._follow(seq, deadline)
                    continue
                if asked:
                    self._pause(seq, deadline, asked)
                    if self.durable_seq >= seq or self._leading:
                        continue
                self._leading = True
                group, self._queue = self._queue, []
            self._lead(group)
            asked += 1

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
            raise self._late(seq)
        self._changed.wait(remaining)

    def _pause(self, seq: int, deadline: float, asked: int) -> None:
        """Before the gate is asked again. The pauses count, too: a clock that stands still must not wait for ever."""
        if deadline <= self._clock.monotonic() or asked * _PAUSE >= self._timeout:
            raise self._late(seq)
        self._changed.wait(_PAUSE)

    def _late(self, seq: int) -> CommitOutcomeUnknown:
        self._late_seq = max(self._late_seq, seq)
        who = "disk" if self._gate is None else "disk and the repository"
        return self._unknown(seq, f"the {who} did not confirm it within {self._timeout:g} s")

    def _lead(self, group: list[tuple[int, int, bytes]], force_sync: bool = False) -> None:
        try:
            if group:
                self._wal.append(group)
            gated = self._gate is not None
            synced = force_sync or gated or self._durability == "fsync" or self._wal.is_full
            if synced:
                self._wal.sync()
            durable = group[-1][0] if group else None
            if self._gate is not None:
                durable = self._gate(self._wal.end.seq)
            if durable is not None and durable > self.durable_seq:
                self._show(durable)
            if synced:
                self.fsynced_seq = self._wal.end.seq  # only now: a flush up to here must find all of it visible
        except BaseException as error:
            self._finish(failure=error)
            if not isinstance(error, Exception):
                raise  # an interrupt or a simulated crash is not ours to swallow
        else:
            self._finish(durable=durable)

    def _settle(self, seq: int) -> None:
        """Shows what was confirmed from outside; the caller has made this thread the leader."""
        try:
            self._show(seq)
        except BaseException as error:
            self._finish(failure=error)
            raise
        self._finish(durable=seq)

    def _show(self, seq: int) -> None:
        self._on_durable(seq)
        self._wal.publish(VISIBLE, seq)

    def _finish(self, durable: int | None = None, failure: BaseException | None = None) -> None:
        with self._changed:
            if durable is not None:
                self.durable_seq = max(self.durable_seq, durable)
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
