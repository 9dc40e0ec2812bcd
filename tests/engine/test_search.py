"""Segments that are searched side by side."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from tiervdb.engine.search import SearchOutcome, _side_by_side, search
from tiervdb.engine.source import SegmentSource
from tiervdb.engine.unions import Unions
from tiervdb.errors import CorruptionError, StoreUnavailableError
from tiervdb.segment.request import Candidates, SearchRequest
from tiervdb.types import Mask

QUERIES = np.zeros((1, 2), np.float32)
Act = Any


class FakeSource(SegmentSource):
    """A hot segment with a row at distance ``number``; a large one, which is worth a thread, or a small one."""

    def __init__(self, number: int, rows: int = 50_000, act: Act = None) -> None:
        self.number, self.act, self.rows = number, act, rows
        self.segment = cast(Any, SimpleNamespace(entry=SimpleNamespace(id=f"s{number}", codebook=None), remote=False))
        self.thread: int | None = None

    def live(self) -> Mask | None:
        return None

    def search(self, *given: object) -> Candidates:
        self.thread = threading.get_ident()
        if self.act is not None:
            self.act()
        return Candidates(np.zeros((1, 1), np.int64), np.full((1, 1), self.number, np.float32))


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as made:
        yield made


def searched(sources: list[FakeSource], pool: ThreadPoolExecutor, *, skip: bool = False, k: int = 9) -> SearchOutcome:
    return search(sources, [None] * len(sources), QUERIES, k, SearchRequest(), skip, pool, Unions())


def fail(error: Exception) -> Act:
    def act() -> None:
        raise error

    return act


def test_large_segments_are_searched_at_the_same_time(pool: ThreadPoolExecutor) -> None:
    """Each waits until all three are under way."""
    meet = threading.Barrier(3)
    sources = [FakeSource(n, act=lambda: meet.wait(20)) for n in (3, 1, 2)]
    outcome = searched(sources, pool)
    assert outcome.sources[0].tolist()[:3] == [1, 2, 0]
    assert outcome.distances[0].tolist()[:3] == [1, 2, 3]
    threads = {source.thread for source in sources}
    assert len(threads) == 3
    assert threading.get_ident() in threads, "the caller does its share"


def test_small_segments_stay_with_the_caller(pool: ThreadPoolExecutor) -> None:
    sources = [FakeSource(n, rows=1) for n in range(4)]
    searched(sources, pool)
    assert {source.thread for source in sources} == {threading.get_ident()}


@pytest.mark.parametrize("broken", [0, 1, 2])
def test_an_error_reaches_the_caller_from_any_thread(pool: ThreadPoolExecutor, broken: int) -> None:
    """After all the others have ended: nobody reads on behind the caller's back."""
    error, meet = CorruptionError("segment s is damaged"), threading.Barrier(3)
    ended = []

    def act(number: int) -> Act:
        def run() -> None:
            meet.wait(20)
            if number == broken:
                raise error
            ended.append(number)

        return run

    with pytest.raises(CorruptionError) as caught:
        searched([FakeSource(n, act=act(n)) for n in range(3)], pool)
    assert caught.value is error
    assert sorted(ended) == [n for n in range(3) if n != broken]


def test_an_error_that_is_no_error_of_ours_reaches_the_caller_too(pool: ThreadPoolExecutor) -> None:
    sources = [FakeSource(0), FakeSource(1, act=fail(ZeroDivisionError("in a thread")))]

    def one(number: int, source: object, mask: Mask | None) -> None:
        sources[number].search(source, mask)

    with pytest.raises(ZeroDivisionError, match="in a thread"):
        _side_by_side([(n, s, None) for n, s in enumerate(sources)], one, pool, 1)
    assert sources[1].thread != threading.get_ident()


def test_what_cannot_be_reached_is_skipped_only_if_asked(pool: ThreadPoolExecutor) -> None:
    away = fail(StoreUnavailableError("the store is away"))
    sources = [FakeSource(0), FakeSource(1, act=away), FakeSource(2)]
    with pytest.raises(StoreUnavailableError):
        searched(sources, pool)
    outcome = searched(sources, pool, skip=True)
    assert outcome.sources[0].tolist()[:2] == [0, 2]
    [skipped] = outcome.skipped
    assert "50000 rows of segment s1" in skipped
    assert "the store is away" in skipped
