"""Where a drill, or a view of the past, restores to: a directory that is removed afterwards, by the next of its kind if
this one was killed."""

from __future__ import annotations

import logging
import random
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import Literal

from tiervdb.backup import hydrate, leases
from tiervdb.backup.vault import Vault
from tiervdb.errors import TiervdbError
from tiervdb.format import paths as local_paths
from tiervdb.format import repository_documents as documents
from tiervdb.format import repository_paths as paths
from tiervdb.storage.local_dir import FileLock
from tiervdb.storage.os_dir import OsDir
from tiervdb.storage.os_errors import os_errors

DATABASE = "db"
Purpose = Literal["drill", "at"]
_LOCK = "scratch.lock"  # held as long as it is in use
_BEGINNING_SECONDS = 60  # a younger one may not have its lock yet
_log = logging.getLogger("tiervdb")


class Scratch:
    """A new directory below ``parent``."""

    def __init__(self, parent: Path, rng: random.Random, purpose: Purpose) -> None:
        self.path = parent / f"{_prefix(purpose)}{local_paths.random_id(rng)[:16]}"
        self._lock: FileLock | None = None

    def make(self) -> None:
        """Raises StorageError."""
        with os_errors("making", self.path):
            self.path.mkdir(mode=0o700)
        self._lock = OsDir(self.path).lock(_LOCK)

    def keep(self) -> None:
        """It stays, and no later one sweeps it away."""
        self._release()
        with suppress(FileNotFoundError):
            (self.path / _LOCK).unlink()
        _log.warning("the database that the drill restored stays in %s", self.path / DATABASE)

    def remove(self, vault: Vault) -> None:
        """Nothing is left, here or in the repository."""
        self._release()
        _remove(vault, self.path)

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None


def sweep(vault: Vault, parent: Path, purpose: Purpose) -> None:
    """Removes what those left that were killed."""
    for folder in sorted(parent.glob(f"{_prefix(purpose)}*")):
        with suppress(OSError):
            if time.time() - folder.stat().st_mtime < _BEGINNING_SECONDS or not (folder / _LOCK).exists():
                continue
            lock = OsDir(folder).lock(_LOCK)
            if lock is not None:
                lock.release()
                if _is_of(vault, folder):
                    _remove(vault, folder)


def _is_of(vault: Vault, folder: Path) -> bool:
    """Whether nothing in another repository waits for what is in a directory."""
    try:
        document = hydrate.read(OsDir(folder / DATABASE))
    except TiervdbError:
        return True
    return document is None or document.url == vault.url


def _prefix(purpose: Purpose) -> str:
    return f"tiervdb-{purpose}-"


def _remove(vault: Vault, folder: Path) -> None:
    _unpin(vault, str(folder / DATABASE))
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        _log.warning("%s could not be removed; remove it", folder)


def _unpin(vault: Vault, path: str) -> None:
    """Releases what a lazy restore to a path that nobody else ever had still holds."""
    try:
        for pin in vault.read_all(paths.PINS, documents.decode_pin, lambda _key, _error: None):
            if pin.path == path:
                leases.unpin(vault, pin.id)
    except TiervdbError as error:
        _log.warning("%s: the pin of the restore to %s may be left: %s", vault.url, path, error)
