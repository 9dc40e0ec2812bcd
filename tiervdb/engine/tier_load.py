"""A large load straight to the cold tier, in bounded local disk.

Commits go through the log and the memtable as always, so that what was acknowledged is durable. The segments that
flushes leave are neither merged nor indexed: when there are enough rows for a good cold segment, a thread demotes them
beside the load, which waits for it before the next ones are due. Without background threads the load does so itself.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

from tiervdb.engine import flush, gc, tiering
from tiervdb.engine.core import ShardCore
from tiervdb.errors import StateError
from tiervdb.types import CollectionSchema

LOAD_ROWS = 500_000  # that become one cold segment
LOAD_FLOATS = 100_000_000  # or as many floats as these, if that is fewer rows


class ColdLoad:
    """One load of a collection. ``committed`` after each commit; leaving it without an error demotes the rest.

    ``seq``: segments that hold only later commits are the load's; rows that others write meanwhile go with them.
    ``earlier``: the seq before the first commit of an earlier run, and that of its last, if this one goes on with it.
    After an error the rows that were not demoted yet stay hot.
    """

    def __init__(
        self, core: ShardCore, schema: CollectionSchema, seq: int, earlier: tuple[int, int] | None = None
    ) -> None:
        self._core = core
        self._schema = schema
        self._seq = seq
        self._earlier = earlier
        self._batch = max(1, min(LOAD_ROWS, LOAD_FLOATS // schema.dim))
        self._waiting = 0  # rows that no demotion was begun for
        self._running: Future[None] | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="tiervdb-load")

    def __enter__(self) -> Self:
        """Raises StateError if the collection is being loaded so already, and what reaching the store raises."""
        tiering.check_tenure(self._core)
        with self._core.commit_lock:
            if self._schema.id in self._core.loading:
                raise StateError(f"{self._schema.name!r} is being loaded to the cold tier already; wait for its end")
            self._core.loading[self._schema.id] = self._earlier[0] if self._earlier else self._seq
        flush.flush(self._core)  # rows from before get segments of their own
        return self

    def committed(self, rows: int) -> None:
        """So many rows more are in. Raises what an earlier demotion failed with."""
        self._waiting += rows
        if self._waiting >= self._batch:
            self._wait()
            self._waiting = 0
            if self._core.env.options.background:
                self._running = self._thread.submit(self._demote)
            else:
                self._demote()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._wait()
                self._demote()
        finally:
            self._thread.shutdown()
            self._core.loading.pop(self._schema.id, None)

    def _wait(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            running.result()

    def _demote(self) -> None:
        """Also frees the local files: nobody else may be there to do so."""
        tiering.demote_since(self._core, self._schema, self._seq, self._earlier)
        gc.collect(self._core)
