"""Ids of files and uploads that a job is making and no manifest names yet: garbage collection leaves them alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Building:
    """Each job registers what it makes within a ``job()``; when that ends, however it ends, the ids are forgotten."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: list[set[str]] = []
        self._own = threading.local()

    @contextmanager
    def job(self) -> Iterator[None]:
        """What this thread adds belongs to the job until it ends. Jobs may be nested."""
        ids: set[str] = set()
        outer = getattr(self._own, "ids", None)
        self._own.ids = ids
        with self._lock:
            self._jobs.append(ids)
        try:
            yield
        finally:
            self._own.ids = outer
            with self._lock:
                self._jobs = [job for job in self._jobs if job is not ids]

    def add(self, new_id: str) -> str:
        """Registers an id with this thread's job, and gives it back."""
        with self._lock:
            self._own.ids.add(new_id)
        return new_id

    def ids(self) -> frozenset[str]:
        """All ids that are being made."""
        with self._lock:
            return frozenset().union(*self._jobs)
