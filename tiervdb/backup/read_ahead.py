"""Reading a known series of objects some steps before they are asked for, within a bound of bytes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

Bytes = bytes | memoryview
AHEAD = 32  # objects on their way at most
AHEAD_BYTES = 64 << 20  # of them


class ReadAhead:
    """What is on its way, in order. Not thread-safe."""

    def __init__(self, pool: ThreadPoolExecutor | None = None) -> None:
        self._pool = pool
        self._waiting: deque[tuple[str, Callable[[], Bytes], int]] = deque()
        self._coming: deque[tuple[str, Future[Bytes], int]] = deque()
        self._bytes = 0

    @classmethod
    @contextmanager
    def of(cls, reads: Mapping[str, Callable[[], Bytes]], sizes: Mapping[str, int]) -> Iterator[ReadAhead]:
        """``reads``: by key, in the order in which they will be asked for. ``sizes``: bytes, for the bound."""
        if len(reads) < 2:
            yield cls()
            return
        pool = ThreadPoolExecutor(min(AHEAD, len(reads)), thread_name_prefix="tiervdb-ahead")
        try:
            ahead = cls(pool)
            ahead._waiting.extend((key, read, sizes[key]) for key, read in reads.items())
            ahead._fill()
            yield ahead
        finally:
            pool.shutdown(cancel_futures=True)

    def take(self, key: str) -> Bytes | None:
        """What was read of a key; None if it is not on its way. What was to come before it is given up.

        Raises what reading it raised.
        """
        if all(key != coming for coming, _, _ in self._coming):
            return None
        while True:
            found, future, size = self._coming.popleft()
            self._bytes -= size
            if found == key:
                self._fill()
                return future.result()
            future.cancel()

    def _fill(self) -> None:
        while self._pool is not None and self._waiting and len(self._coming) < AHEAD:
            key, read, size = self._waiting[0]
            if self._coming and self._bytes + size > AHEAD_BYTES:
                return
            self._waiting.popleft()
            self._coming.append((key, self._pool.submit(read), size))
            self._bytes += size
