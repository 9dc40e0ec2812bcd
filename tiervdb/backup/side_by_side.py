"""Small requests at the same time, also while the interpreter ends, when no new threads can be had."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
