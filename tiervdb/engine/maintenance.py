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

    A failure is logged, kept for ``check`` and tried again later; it never stops the database.
    """

    def __init__(self, tend_once: Callable[[], bool], build_graph_once: Callable[[], bool]) -> None:
        self.stopping = threading.Event()
        self._work = _Worker("tiervdb-maintenance", tend_once, self.stopping, quiet_seconds=0.0)
        self._graphs = _Worker("tiervdb-graphs", build_graph_once, self.stopping, quiet_seconds=_QUIET_SECONDS)

    def kick(self) -> None:
        """There may be work."""
        self._work.kick()
        self._graphs.kick()

    def check(self) -> None:
        """Raises the failure of the last run, if it failed."""
        for worker in (self._work, self._graphs):
            if worker.failure is not None:
                raise worker.failure

    def stop(self) -> None:
        """Ends the threads. A flush or merge that is under way is finished first, a graph is given up."""
        self.stopping.set()
        self._work.join()
        self._graphs.join()


class _Worker:
    def __init__(self, name: str, once: Callable[[], bool], stopping: threading.Event, quiet_seconds: float) -> None:
        self.failure: TiervdbError | None = None
        self._once = once
        self._stopping = stopping
        self._quiet_seconds = quiet_seconds
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def kick(self) -> None:
        self._wake.set()

    def join(self) -> None:
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.wait(_RETRY_SECONDS if self.failure is not None else _IDLE_SECONDS)
            self._wake.clear()
            while self._quiet_seconds and not self._stopping.is_set() and self._wake.wait(self._quiet_seconds):
                self._wake.clear()
            self._do_all()

    def _do_all(self) -> None:
        try:
            while not self._stopping.is_set() and self._once():
                pass
            self.failure = None
        except TiervdbError as error:
            if self.failure is None:
                _log.warning("background work failed and will be tried again: %s", error)
            self.failure = error
