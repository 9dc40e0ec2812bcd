"""Timing side by side: contestants take turns in one process, so that what disturbs the machine disturbs them alike."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Search = Callable[[Any], object]


@dataclass(frozen=True)
class Timing:
    """Seconds of one query: each query's best of all rounds, averaged over the queries.

    ``cpu``: processor time of the whole process, all its threads. Bound to one core and with all data in memory, that
    is what a clock shows when nobody else uses the core, and it stays much the same when somebody does. ``wall``: by
    the clock.
    """

    cpu: float
    wall: float


def one_core() -> None:
    """Binds this process, and all threads that it starts later, to one processor: one thread means one thread."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def side_by_side(contestants: Mapping[str, Search], queries: Sequence[Any], rounds: int = 5) -> dict[str, Timing]:
    """Times each contestant on each query, one after the other, in ``rounds`` rounds; a first round is not counted."""
    best = {name: np.full((2, len(queries)), np.inf) for name in contestants}
    for number in range(rounds + 1):
        for name, search in contestants.items():
            for at, query in enumerate(queries if number else queries[: len(queries) // 4 + 1]):
                wall, cpu = time.perf_counter(), time.process_time()
                search(query)
                taken = time.process_time() - cpu, time.perf_counter() - wall
                if number:
                    best[name][:, at] = np.minimum(best[name][:, at], taken)
    return {name: Timing(*times.mean(axis=1).tolist()) for name, times in best.items()}


def seconds(work: Callable[[], object]) -> float:
    """How long the work takes, once."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
