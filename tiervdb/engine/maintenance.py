"""The background threads: they do due work until nothing is left, and sleep until they are kicked.

One flushes, merges and collects garbage. The other builds graphs, which takes long, and only after a quiet moment: in
the middle of a load they would soon be merged away.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from tiervdb.errors import TiervdbError

_log = logging.getLogger("tiervdb")
_IDLE_SECONDS = 60.0  # expiries and files left by readers are looked for this often
_RETRY_SECONDS = 5.0
_QUIET_SECONDS = 2.0


class Maintenance:
    """Runs background work. ``tend_once`` and ``build_graph_once`` return False when nothing is due.

    A failure is logged, kept in ``failure`` and tried again later; it stops neither the thread nor the database.
    """

    def __init__(self, tend_once: Callable[[], bool], build_graph_once: Callable[[], bool]) -> None:
        self.stopping = threading.Event()
        self._graphs = _Worker("tiervdb-graphs", build_graph_once, self.stopping, quiet_seconds=_QUIET_SECONDS)
        self._work = _Worker("tiervdb-maintenance", tend_once, self.stopping, quiet_seconds=0.0, then=self._graphs.kick)

    def kick(self) -> None:
        """There may be work. Graphs are thought of when some was done."""
        self._work.kick()

    @property
    def failure(self) -> Exception | None:
        """What the last run failed with, if it did."""
        return self._work.failure or self._graphs.failure

    def stop(self) -> None:
        """Ends the threads. A flush or merge that is under way is finished first, a graph is given up."""
        self.stopping.set()
        self._work.join()
        self._graphs.join()


class _Worker:
    def __init__(
        self,
        name: str,
        once: Callable[[], bool],
        stopping: threading.Event,
        quiet_seconds: float,
        then: Callable[[], None] | None = None,
    ) -> None:
        """``then`` is called after each piece of work."""
        self.failure: Exception | None = None
        self._once = once
        self._then = then
        self._stopping = stopping
        self._quiet_seconds = quiet_seconds
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def kick(self) -> None:
        self._wake.set()

    def join(self) -> None:
        self._wake.set()
        if threading.current_thread() is not self._thread:  # the garbage collector may close a database from any thread
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.wait(_RETRY_SECONDS if isinstance(self.failure, TiervdbError) else _IDLE_SECONDS)
            self._wake.clear()
            while self._quiet_seconds and not self._stopping.is_set() and self._wake.wait(self._quiet_seconds):
                self._wake.clear()
            self._do_all()

    def _do_all(self) -> None:
        try:
            while not self._stopping.is_set() and self._once():
                if self._then is not None:
                    self._then()
            self.failure = None
        except BaseException as error:
            if not isinstance(error, Exception):
                raise  # a simulated crash
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        """A thread that ended here would leave all further work undone, and nobody told."""
        if not isinstance(error, TiervdbError):
            _log.error("background work failed unexpectedly and will be tried again", exc_info=error)
        elif self.failure is None:
            _log.warning("background work failed and will be tried again: %s", error)
        self.failure = error
