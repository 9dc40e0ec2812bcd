"""The open files of an ``OsDir``: appended to, staged, locked."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from tiervdb.errors import StorageError
from tiervdb.storage.disk import Disk
from tiervdb.storage.local_dir import Data
from tiervdb.storage.os_errors import os_errors

_CLOSED = -1


class OsAppendFile:
    """See ``AppendFile``."""

    def __init__(self, disk: Disk, path: Path, descriptor: int, size: int = 0) -> None:
        self._disk = disk
        self._path = path
        self._descriptor = descriptor
        self._failed = False
        self.size = size

    def write(self, data: Data) -> None:
        self._attempt("appending to", lambda: self._disk.write(self._descriptor, data))
        self.size += memoryview(data).nbytes

    def sync(self) -> None:
        self._attempt("syncing", lambda: self._disk.sync(self._descriptor))

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, _CLOSED
        if descriptor != _CLOSED:
            with os_errors("closing", self._path):
                self._disk.close(descriptor)

    def _attempt(self, doing: str, action: Callable[[], None]) -> None:
        if self._failed or self._descriptor == _CLOSED:
            why = "an earlier write or sync of it failed" if self._failed else "it is closed"
            raise StorageError(f"{doing} {self._path}: {why}; open the file again")
        try:
            with os_errors(doing, self._path):
                action()
        except BaseException:
            self._failed = True  # what the file holds now is unknown; the kernel may have dropped unsynced pages
            raise


class OsStagedFile:
    """See ``StagedFile``. ``publish`` gives the synced file its name, durably."""

    def __init__(self, disk: Disk, path: Path, descriptor: int, publish: Callable[[Path], None], *, sync: bool) -> None:
        self.path = path
        self._disk = disk
        self._descriptor = descriptor
        self._publish = publish
        self._sync = sync
        self._written = False
        self._done = False

    def write(self, data: Data) -> None:
        self._written = True
        with os_errors("writing", self.path):
            self._disk.write(self._descriptor, data)

    def commit(self) -> None:
        with os_errors("writing", self.path):
            if not self._written:  # a library may have put another file in the place of ours
                self._close()
                self._descriptor = self._disk.open_existing(self.path)
            if self._sync:
                self._disk.sync(self._descriptor)
            self._close()
        self._publish(self.path)
        self._done = True

    def abort(self) -> None:
        if self._done:
            return
        self._done = True
        with os_errors("deleting", self.path):
            self._close()
            with suppress(FileNotFoundError):  # published, and only the last sync failed
                self._disk.unlink(self.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.abort()
        except StorageError:
            if error is None:  # else the first error is the one to see
                raise

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, _CLOSED
        if descriptor != _CLOSED:
            self._disk.close(descriptor)


class OsFileLock:
    """See ``FileLock``."""

    def __init__(self, disk: Disk, path: Path, descriptor: int) -> None:
        self._disk = disk
        self._path = path
        self._descriptor = descriptor
        self._guard = threading.Lock()
        _held.add(self)

    def release(self) -> None:
        with self._guard:
            descriptor, self._descriptor = self._descriptor, _CLOSED
        if descriptor != _CLOSED:
            with os_errors("unlocking", self._path):
                self._disk.close(descriptor)

    def forget(self) -> None:
        """Lets go in a forked child: its copy of the descriptor would keep the lock when the parent has ended."""
        descriptor, self._descriptor = self._descriptor, _CLOSED
        if descriptor != _CLOSED:
            with suppress(OSError):
                self._disk.close(descriptor)


_held: weakref.WeakSet[OsFileLock] = weakref.WeakSet()


def _forget_all() -> None:
    for lock in list(_held):
        lock.forget()


os.register_at_fork(after_in_child=_forget_all)
