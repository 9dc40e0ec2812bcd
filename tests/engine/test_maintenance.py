"""The background threads. Waits are for events; their limits are only reached when something is broken."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiervdb
from tiervdb.engine import maintenance
from tiervdb.engine.maintenance import Maintenance
from tiervdb.errors import DiskFullError
from tiervdb.segment import graph_build
from tiervdb.segment.graph import GraphBuilder

LIMIT = 20.0  # seconds
Start = Callable[[Callable[[], bool], Callable[[], bool]], Maintenance]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts threads that wake up only when they are kicked, and stops them in the end."""
    for name, seconds in {"_IDLE_SECONDS": 1000.0, "_RETRY_SECONDS": 1000.0, "_QUIET_SECONDS": 0.001}.items():
        monkeypatch.setattr(maintenance, name, seconds)
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
    assert work.calls == 3
    assert graphs.calls >= 2


def test_nothing_is_done_before_a_kick(start: Start) -> None:
    work = Work()
    start(work, nothing).stop()
    assert work.calls == 0


def stopped(made: Maintenance) -> None:
    """Fails instead of hanging."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(made.stop).result(LIMIT)


@pytest.mark.parametrize("graphs", [False, True])
def test_a_failure_is_kept_until_the_work_is_done(start: Start, graphs: bool, caplog: pytest.LogCaptureFixture) -> None:
    """The thread goes on after any exception."""
    failures = [DiskFullError("no room"), DiskFullError("no room still"), ValueError("a bug"), None]
    given, known = iter(failures), []
    ready, done = threading.Event(), threading.Event()

    def work() -> bool:
        assert ready.wait(LIMIT)
        known.append(made.failure)  # of the last run
        error = next(given, None)
        made.kick()
        if error is not None:
            raise error
        if len(known) > len(failures):
            done.set()
        return False

    by_turns = cycle([True, False])  # graphs are thought of when other work was done
    made = start(lambda: next(by_turns), work) if graphs else start(work, nothing)
    ready.set()
    with caplog.at_level(logging.WARNING, "tiervdb"):
        made.kick()
        assert done.wait(LIMIT)
        stopped(made)
    assert known[:5] == [None, *failures]
    assert made.failure is None
    assert caplog.text.count("no room") == 1, "one line for the same trouble, however often it is tried"
    assert "a bug" in caplog.text


def test_a_failure_is_tried_again_without_a_kick(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maintenance, "_RETRY_SECONDS", 0.001)
    work = Work(DiskFullError("no room"), DiskFullError("no room"), True, False)
    made = start(work, nothing)
    made.kick()
    assert work.idle.wait(LIMIT)
    stopped(made)
    assert (work.calls, made.failure) == (4, None)


def test_a_stop_waits_for_what_is_under_way_and_begins_nothing_more(start: Start) -> None:
    begun, go = threading.Event(), threading.Event()
    finished = []

    def work() -> bool:
        begun.set()
        assert go.wait(LIMIT)
        finished.append(True)
        return True

    made = start(work, nothing)
    made.kick()
    assert begun.wait(LIMIT)
    with ThreadPoolExecutor(1) as pool:
        stop = pool.submit(made.stop)
        assert made.stopping.wait(LIMIT)
        assert not stop.done()
        go.set()
        stop.result(LIMIT)
    assert finished == [True]


def test_closing_gives_up_a_graph_that_is_being_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 40 pieces of a graph, the one under way is the last."""
    monkeypatch.setattr(maintenance, "_QUIET_SECONDS", 0.001)
    monkeypatch.setattr(maintenance, "_IDLE_SECONDS", 1000.0)  # the flush tells the other thread
    monkeypatch.setattr(graph_build, "chunks", lambda rows, _: [slice(n, n + 10) for n in range(0, rows, 10)])
    building, add = threading.Event(), GraphBuilder.add
    pieces: list[bool] = []

    def slow(self: GraphBuilder, *given: Any) -> None:
        building.set()
        assert db._session.shard("look inside")._maintenance.stopping.wait(LIMIT)
        pieces.append(True)
        add(self, *given)

    monkeypatch.setattr(GraphBuilder, "add", slow)
    options = tiervdb.Options(flush_floats=1_000, graph_min_rows=100)
    db = tiervdb.open(tmp_path / "db", options=options)
    words = db.create_collection("words", dim=4, id_type="int64")
    words.upsert(ids=np.arange(400), vectors=np.random.default_rng(1).normal(size=(400, 4)))
    assert building.wait(LIMIT)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(db.close).result(LIMIT)
    assert len(pieces) == 1
    with tiervdb.open(tmp_path / "db", options=tiervdb.Options(background=False)) as again:
        assert len(again["words"]) == 400
        [entry] = again._session.shard("look inside").manifest().segments
        assert "graph" not in entry.files
