"""The background threads. Waits are for events; their limits are only reached when something is broken."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator

import pytest

from tiervdb.engine import maintenance
from tiervdb.engine.maintenance import Maintenance
from tiervdb.errors import DiskFullError

LIMIT = 20.0  # seconds
Start = Callable[[Callable[[], bool], Callable[[], bool]], Maintenance]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts threads that wake up only when they are kicked, and stops them in the end."""
    monkeypatch.setattr(maintenance, "_IDLE_SECONDS", 1000.0)
    monkeypatch.setattr(maintenance, "_RETRY_SECONDS", 1000.0)
    monkeypatch.setattr(maintenance, "_QUIET_SECONDS", 0.01)
    started: list[Maintenance] = []

    def make(tend_once: Callable[[], bool], build_graph_once: Callable[[], bool]) -> Maintenance:
        started.append(Maintenance(tend_once, build_graph_once))
        return started[-1]

    yield make
    for made in started:
        made.stop()


class Work:
    """Does what it is given, in order; then nothing is due, of which ``idle`` tells."""

    def __init__(self, *given: bool | Exception) -> None:
        self.given = list(given)
        self.calls = 0
        self.idle = threading.Event()

    def __call__(self) -> bool:
        self.calls += 1
        result = self.given.pop(0) if self.given else False
        if not self.given:
            self.idle.set()
        if isinstance(result, Exception):
            raise result
        return result


def nothing() -> bool:
    return False


def test_a_kick_does_all_that_is_due(start: Start) -> None:
    work, graphs = Work(True, True, False), Work(True, False)
    made = start(work, graphs)
    made.kick()
    assert work.idle.wait(LIMIT)
    assert graphs.idle.wait(LIMIT)
    made.stop()
    assert (work.calls, graphs.calls) == (3, 2)


def test_nothing_is_done_before_a_kick(start: Start) -> None:
    work = Work()
    start(work, nothing).stop()
    assert work.calls == 0


@pytest.mark.parametrize("graphs", [False, True])
def test_a_failure_is_kept_until_the_work_is_done(start: Start, graphs: bool, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged once, and the thread goes on."""
    again, done = threading.Event(), threading.Event()
    failures: list[Exception] = [DiskFullError("no room"), ValueError("a bug"), DiskFullError("no room still")]
    seen = threading.Semaphore(0)

    def work() -> bool:
        seen.release()
        if failures:
            raise failures.pop(0)
        done.set()
        return False

    made = start(nothing, work) if graphs else start(work, nothing)
    del again
    made.check()
    worker = made._graphs if graphs else made._work
    with caplog.at_level(logging.WARNING, "tiervdb"):
        for expected in list(failures):
            made.kick()
            assert seen.acquire(timeout=LIMIT)
            wait_until(lambda expected=expected: worker.failure is expected)
            with pytest.raises(type(expected), match=str(expected)):
                made.check()
        made.kick()
        assert done.wait(LIMIT)
    made.stop()
    made.check()
    assert [record.getMessage() for record in caplog.records] == [
        "background work failed and will be tried again: no room"
    ]
