"""Nearest rows over all sources of a collection: each is searched by its cheapest means, the answers are merged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec
import numpy as np

from tiervdb.engine.source import SegmentSource, Source
from tiervdb.engine.unions import Unions
from tiervdb.errors import StoreUnavailableError
from tiervdb.segment import cold_search, merge
from tiervdb.segment.segment import Candidates, SearchRequest, SearchTally
from tiervdb.types import Column, Distances, Mask, Rows, Vectors

_ALONE_ROWS = 40_000  # rows times queries: a source with fewer is not worth a thread


class SearchOutcome(msgspec.Struct, frozen=True):
    """The nearest rows.

    All arrays are ``(queries, k)``; places without a hit have source -1, row -1 and distance inf.
    """

    sources: Rows
    rows: Rows
    distances: Distances
    tally: SearchTally
    skipped: tuple[str, ...] = ()  # what could not be reached, where the caller asked to go on without it


_Task = tuple[int, Source, Mask | None]


class _Answers(msgspec.Struct):
    candidates: list[tuple[int, Candidates]] = []
    joined: list[tuple[Rows, Rows, Distances]] = []
    skipped: list[str] = []


def search(
    sources: Sequence[Source],
    masks: Sequence[Mask | None],
    queries: Vectors,
    k: int,
    request: SearchRequest,
    skip_unavailable: bool,
    pool: ThreadPoolExecutor,
    unions: Unions,
    columns: Sequence[Column] = (),
    tally: SearchTally | None = None,
) -> SearchOutcome:
    """Searches the rows that ``masks`` leave (None: all). Raises StoreUnavailableError unless that is to be skipped.

    ``columns``: what the caller will read of the rows that are found, which cold segments fetch ahead.
    """
    tally = tally or SearchTally()
    answers = _Answers()
    todo = [(n, s, m) for n, (s, m) in enumerate(zip(sources, masks, strict=True)) if s.rows and (m is None or m.any())]

    def one(number: int, source: Source, mask: Mask | None) -> None:
        try:
            found = source.search(queries, k, mask, request, tally)
            answers.candidates.append((number, found))
        except StoreUnavailableError as error:
            if not skip_unavailable:
                raise
            answers.skipped.append(f"{source.rows} rows of segment {source.key}: {error}")

    cold, todo = _together_if_cold(todo, request)
    if len(todo) == 1 and not cold:  # nearly always, and then none of what follows is needed
        one(*todo[0])
        return _merge(answers, len(queries), k, tally)
    together = unions.search(todo, queries, k, request, tally)
    if together is not None and len(together.numbers) == len(todo) and not cold:
        return SearchOutcome(*together.found, tally)
    if together is not None:
        answers.joined.append(together.found)
        todo = [task for task in todo if task[0] not in together.numbers]

    def all_cold() -> None:
        found = _search_cold(cold, queries, k, request, tally, columns, skip_unavailable)
        if found is not None:
            answers.joined.append(found)
        else:
            for task in cold:
                one(*task)

    _side_by_side(todo, one, pool, len(queries), all_cold if cold else None)
    return _merge(answers, len(queries), k, tally)


def _together_if_cold(todo: Sequence[_Task], request: SearchRequest) -> tuple[list[_Task], list[_Task]]:
    """The tasks of cold segments that are searched together, and all others."""
    cold = [
        task for task in todo if isinstance(task[1], SegmentSource) and task[1].segment.remote and not request.exact
    ]
    return cold, [task for task in todo if task not in cold] if cold else list(todo)


def _search_cold(
    cold: Sequence[_Task],
    queries: Vectors,
    k: int,
    request: SearchRequest,
    tally: SearchTally,
    columns: Sequence[Column],
    skip_unavailable: bool,
) -> tuple[Rows, Rows, Distances] | None:
    """What the cold segments answer together; None: ask each by itself, which tells what cannot be reached."""
    segments = [source.segment for _, source, _ in cold if isinstance(source, SegmentSource)]
    stored = [c for c in columns if c.stored]
    try:
        found = cold_search.search(segments, [mask for *_, mask in cold], queries, k, request, tally, stored)
    except StoreUnavailableError:
        if not skip_unavailable:
            raise
        return None
    if found is None:
        return None
    places, rows, distances = found
    numbers = np.array([number for number, *_ in cold], np.int64)
    return np.where(places < 0, -1, numbers[places]), rows, distances


def _side_by_side(
    todo: Sequence[_Task],
    one: Callable[[int, Source, Mask | None], None],
    pool: ThreadPoolExecutor,
    queries: int,
    cold: Callable[[], None] | None = None,
) -> None:
    """Large segments go to the pool, all but one; the caller's thread searches that one and the small ones, or the
    cold ones, whose waiting is the longest."""
    away = [task[0] for task in todo if _is_large(task[1], queries)][0 if cold else 1 :]
    futures = [pool.submit(one, *task) for task in todo if task[0] in away]
    try:
        if cold is not None:
            cold()
        for task in todo:
            if task[0] not in away:
                one(*task)
    finally:
        errors = [future.exception() for future in futures]
    for error in errors:
        if error is not None:
            raise error


def _is_large(source: Source, queries: int) -> bool:
    if not isinstance(source, SegmentSource):
        return False
    return source.segment.remote or source.rows * queries > _ALONE_ROWS


def _merge(answers: _Answers, queries: int, k: int, tally: SearchTally) -> SearchOutcome:
    found = sorted(answers.candidates, key=lambda item: item[0])
    if not found and not answers.joined:
        empty = np.full((queries, 0), -1, np.int64)
        return SearchOutcome(empty, empty, empty.astype(np.float32), tally, tuple(answers.skipped))
    if len(found) == 1 and not answers.joined:  # nearly always, and in order already
        number, only = found[0]
        sources = np.full(only.rows.shape, number)
        if queries > 1 or (only.rows.size and only.rows[0, -1] < 0):  # places without a row come last
            sources[only.rows < 0] = -1
        return SearchOutcome(sources, only.rows, only.distances, tally, tuple(answers.skipped))
    merged = merge.merge([*answers.joined, *((number, c.rows, c.distances) for number, c in found)], k)
    return SearchOutcome(merged.sources, merged.rows, merged.distances, tally, tuple(answers.skipped))
