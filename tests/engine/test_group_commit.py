"""Group commit over a log that does what the test says, with real threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tiervdb.clock import ManualClock
from tiervdb.config import Durability
from tiervdb.engine.group_commit import GroupCommit
from tiervdb.engine.wal import FSYNCED, VISIBLE, WalPosition
from tiervdb.errors import CommitOutcomeUnknown, DiskFullError, StorageError, WritesRefusedError


class ScriptedWal:
    """Notes every call; ``hooks`` run before a call of that name takes effect."""

    def __init__(self) -> None:
        self.end = WalPosition(0, 0, bytes(32))
        self.is_full = False
        self.calls: list[tuple[str, object]] = []
        self.hooks: dict[str, Callable[[], None]] = {}

    def append(self, records: list[tuple[int, int, bytes]]) -> None:
        self._call("append", [seq for seq, _, _ in records])
        self.end = WalPosition(records[-1][0], records[-1][1], bytes(32))

    def sync(self) -> None:
        self._call("sync", self.end.seq)

    def seal(self) -> None:
        self._call("seal", None)

    def publish(self, word: int, seq: int) -> None:
        self._call({FSYNCED: "fsynced", VISIBLE: "visible"}[word], seq)

    def _call(self, name: str, value: object) -> None:
        self.hooks.get(name, lambda: None)()
        self.calls.append((name, value))


class Bench:
    """A group commit with all that it needs."""

    def __init__(self, durability: Durability = "fsync", timeout: float = 30) -> None:
        self.wal = ScriptedWal()
        self.clock = ManualClock()
        self.visible: list[int] = []
        self.group = GroupCommit(self.wal, durability, self.visible.append, self.clock, timeout)

    def enqueue(self, *seqs: int) -> None:
        for seq in seqs:
            self.group.enqueue(seq, seq, b"record")


def fail(error: BaseException) -> Callable[[], None]:
    def hook() -> None:
        raise error

    return hook


def test_one_commit_is_written_synced_and_shown_in_this_order() -> None:
    bench = Bench()
    bench.enqueue(1)
    bench.group.wait(1)
    assert bench.wal.calls == [("append", [1]), ("sync", 1), ("visible", 1)]
    assert (bench.visible, bench.group.durable_seq, bench.group.fsynced_seq) == ([1], 1, 1)
    bench.group.wait(1)
    assert len(bench.wal.calls) == 3


def test_the_os_mode_syncs_only_when_told_or_when_a_file_is_full() -> None:
    bench = Bench("os")
    bench.enqueue(1)
    bench.group.wait(1)
    assert bench.wal.calls == [("append", [1]), ("visible", 1)]
    assert (bench.group.durable_seq, bench.group.fsynced_seq) == (1, 0)
    bench.group.fsync()
    assert bench.group.fsynced_seq == 1
    bench.wal.is_full = True
    bench.enqueue(2)
    bench.group.wait(2)
    assert bench.group.fsynced_seq == 2


def test_all_that_wait_share_one_sync() -> None:
    bench = Bench()
    queued, started = threading.Event(), threading.Event()

    def first_append() -> None:
        started.set()
        assert queued.wait(10)

    bench.wal.hooks["append"] = first_append
    bench.enqueue(1)
    with ThreadPoolExecutor(5) as pool:
        waiting = [pool.submit(bench.group.wait, 1)]
        assert started.wait(10)
        bench.enqueue(2, 3, 4)
        waiting += [pool.submit(bench.group.wait, seq) for seq in (4, 2, 3)]
        queued.set()
        for one in waiting:
            one.result(10)
    assert [call for call in bench.wal.calls if call[0] != "visible"] == [
        ("append", [1]),
        ("sync", 1),
        ("append", [2, 3, 4]),
        ("sync", 4),
    ]
    assert bench.visible == [1, 4]


@pytest.mark.parametrize("call", ["append", "sync"])
def test_a_failed_write_is_of_unknown_outcome_and_ends_writing(call: str) -> None:
    bench = Bench()
    bench.wal.hooks[call] = fail(DiskFullError("no space"))
    bench.enqueue(1)
    with pytest.raises(CommitOutcomeUnknown, match="no space") as caught:
        bench.group.wait(1)
    assert caught.value.seq == 1
    bench.wal.hooks.clear()
    with pytest.raises(WritesRefusedError, match="no space"):
        bench.group.check_writable()
    with pytest.raises(CommitOutcomeUnknown):
        bench.group.wait(1)
    with pytest.raises(CommitOutcomeUnknown):
        bench.group.fsync()
    bench.group.close()
    assert bench.visible == []
    assert bench.wal.calls[-1] == ("seal", None)  # closed, so that reopening finds nothing open


def test_everybody_who_waits_hears_of_a_failure() -> None:
    bench = Bench()
    started, go = threading.Event(), threading.Event()

    def slow_failure() -> None:
        started.set()
        assert go.wait(10)
        raise StorageError("broken disk")

    bench.wal.hooks["sync"] = slow_failure
    bench.enqueue(1)
    with ThreadPoolExecutor(2) as pool:
        leader = pool.submit(bench.group.wait, 1)
        assert started.wait(10)
        bench.enqueue(2)
        follower = pool.submit(bench.group.wait, 2)
        go.set()
        assert isinstance(leader.exception(10), CommitOutcomeUnknown)
        assert isinstance(follower.exception(10), CommitOutcomeUnknown)
    assert [call for call in bench.wal.calls if call[0] == "append"] == [("append", [1])]


def test_an_interrupt_comes_out_as_it_is_and_ends_writing() -> None:
    bench = Bench()
    bench.wal.hooks["append"] = fail(KeyboardInterrupt())
    bench.enqueue(1)
    with pytest.raises(KeyboardInterrupt):
        bench.group.wait(1)
    with pytest.raises(WritesRefusedError):
        bench.group.check_writable()


def test_a_slow_disk_refuses_writes_until_it_has_caught_up() -> None:
    bench = Bench(timeout=1)
    started, go = threading.Event(), threading.Event()

    def slow() -> None:
        started.set()
        assert go.wait(10)

    bench.wal.hooks["sync"] = slow
    bench.enqueue(1)
    with ThreadPoolExecutor(1) as pool:
        leader = pool.submit(bench.group.wait, 1)
        assert started.wait(10)
        bench.enqueue(2)
        bench.group._timeout = -1  # its time is over before it starts to wait
        with pytest.raises(CommitOutcomeUnknown, match="did not confirm") as caught:
            bench.group.wait(2)
        assert caught.value.seq == 2
        with pytest.raises(WritesRefusedError, match="commit 2"):
            bench.group.check_writable()
        bench.group._timeout = 1
        go.set()
        leader.result(10)
    bench.group.wait(2)
    bench.group.check_writable()
    assert bench.visible == [1, 2]


def test_syncing_takes_the_queue_along() -> None:
    bench = Bench("os")
    bench.enqueue(1, 2)
    bench.group.fsync()
    assert bench.wal.calls == [("append", [1, 2]), ("sync", 2), ("visible", 2)]
    assert (bench.visible, bench.group.durable_seq) == ([2], 2)


def test_closing_syncs_and_seals() -> None:
    bench = Bench("os")
    bench.enqueue(1)
    bench.group.wait(1)
    bench.group.close()
    assert bench.wal.calls[-2:] == [("sync", 1), ("seal", None)]
