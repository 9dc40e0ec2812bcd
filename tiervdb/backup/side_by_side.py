"""Small requests at the same time, also while the interpreter ends, when no new threads can be had; and in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_A = TypeVar("_A")
_B = TypeVar("_B")


def each(act: Callable[[_A], _B], items: Sequence[_A], most: int, name: str) -> list[_B]:
    """What ``act`` makes of each, in their order, by at most so many threads."""
    if len(items) < 2:
        return [act(item) for item in items]
    with ThreadPoolExecutor(min(most, len(items)), thread_name_prefix=name) as pool:
        try:
            futures = [pool.submit(act, item) for item in items]
        except RuntimeError:  # a database that nobody closed is closed at the very end
            return [act(item) for item in items]
        return [future.result() for future in futures]


def batches(
    items: Sequence[_A], size: Callable[[_A], int], most_bytes: int, most: int | None = None
) -> Iterator[list[_A]]:
    """Neighbours that are together at most so large, and so many; one that is larger comes alone."""
    batch: list[_A] = []
    total = 0
    for item in items:
        if batch and (len(batch) == most or total + size(item) > most_bytes):
            yield batch
            batch, total = [], 0
        batch.append(item)
        total += size(item)
    if batch:
        yield batch
