"""The background thread: it calls ``maintain_once`` until nothing is due, and sleeps until it is kicked.

Graphs are built only after a quiet moment: in the middle of a load they would soon be merged away.
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
    """Runs background work.

    A failure is logged, kept for ``check`` and tried again later; it never stops the database.
    """

    def __init__(self, maintain_once: Callable[[bool], bool]) -> None:
        self._maintain_once = maintain_once
        self._wake = threading.Event()
        self._stop = False
        self._failure: TiervdbError | None = None
        self._thread = threading.Thread(target=self._run, name="tiervdb-maintenance", daemon=True)
        self._thread.start()

    def kick(self) -> None:
        """There may be work."""
        self._wake.set()

    def check(self) -> None:
        """Raises the failure of the last run, if it failed."""
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Ends the thread; a piece of work that is under way is finished first."""
        self._stop = True
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop:
            self._wake.wait(_RETRY_SECONDS if self._failure is not None else _IDLE_SECONDS)
            self._wake.clear()
            self._work(graphs=False)
            if not self._stop and not self._wake.wait(_QUIET_SECONDS):
                self._work(graphs=True)

    def _work(self, graphs: bool) -> None:
        try:
            while not self._stop and self._maintain_once(graphs):
                pass
            self._failure = None
        except TiervdbError as error:
            if self._failure is None:
                _log.warning("background work failed and will be tried again: %s", error)
            self._failure = error
