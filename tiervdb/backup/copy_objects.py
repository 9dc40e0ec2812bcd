"""Copying the objects of backups from one repository to another, each read back and compared."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tiervdb.backup import fetching
from tiervdb.backup.pace import UNLIMITED, Limits, Pace
from tiervdb.backup.sending import Progress
from tiervdb.backup.vault import Vault
from tiervdb.errors import CorruptionError, FeatureUnavailableError, ObjectNotFoundError, StateError
from tiervdb.format import repository_paths as paths
from tiervdb.format.repository_documents import BackupDocument, BackupFile, StoredObject
from tiervdb.storage.object_store import ObjectStore


@dataclass(frozen=True)
class CopyWish:
    """``cold``: opens the source's cold store, for backups by reference."""

    limits: Limits = UNLIMITED
    progress: Progress | None = None
    cold: Callable[[str], ObjectStore] | None = None


class ObjectCopier:
    """Thread-safe. ``copied``, ``bytes``: what was copied; ``total``: bytes to copy in all, for progress."""

    def __init__(self, source: Vault, target: Vault, wish: CopyWish) -> None:
        self._source = source
        self._target = target
        self._wish = wish
        self.pace = Pace(wish.limits, source.clock)
        self._cold_stores: dict[str, ObjectStore] = {}
        self._lock = threading.Lock()
        self.copied = self.bytes = self.total = 0

    def copy(self, backup: BackupDocument, file: BackupFile) -> StoredObject:
        """One file of a backup, read back. CorruptionError names the object that is missing, damaged or not what was
        sent."""
        self.pace.request(file.size)
        stored = self._copied_as_it_is(backup, file)
        if stored is None:
            stored = self._through_here(backup, file)
            self._read_back(file, stored)
        with self._lock:
            self.copied += 1
            self.bytes += file.size
            if self._wish.progress is not None:
                self._wish.progress(self.bytes, self.total)
        return stored

    def _copied_as_it_is(self, backup: BackupDocument, file: BackupFile) -> StoredObject | None:
        """The object's own bytes, by the stores themselves where they can; its name says whose lease protects it."""
        stored, source = file.object, paths.parse(file.object.key) if file.object is not None else None
        if stored is None or not isinstance(source, paths.DataKey):
            return None
        if self._source.encrypted or self._target.encrypted:
            return None
        copied = msgspec.structs.replace(stored, key=paths.DataKey(backup.id, source.id).key)
        if self._is_there(file, copied):
            return copied  # from a run that was cut short
        try:
            self._transfer(stored.key, copied.key)
        except ObjectNotFoundError as error:
            raise self._lost(file) from error
        self._read_back(file, copied)
        return copied

    def _transfer(self, key: str, target: str) -> None:
        try:
            self._target.store.copy_from(self._source.store, key, target)
        except FeatureUnavailableError:
            with tempfile.TemporaryDirectory(prefix="tiervdb-copy-") as folder:
                path = Path(folder) / "object"
                self._source.store.get_file(key, path)
                self._target.store.put_file(target, path)

    def _is_there(self, file: BackupFile, stored: StoredObject) -> bool:
        try:
            self._target.check(stored)
            self._read_back(file, stored)
        except CorruptionError:
            return False
        return True

    def _through_here(self, backup: BackupDocument, file: BackupFile) -> StoredObject:
        with tempfile.TemporaryDirectory(prefix="tiervdb-copy-") as folder:
            path = Path(folder) / "object"
            try:
                if file.object is not None:
                    self._source.get_file(file.object, path)
                else:
                    self._referenced(backup).get_file(file.name, path)
            except ObjectNotFoundError as error:
                raise self._lost(file) from error
            if fetching.hash_file(path) != file.sha256:
                raise self._lost(file)
            compress = file.object is not None and file.object.codec == "zstd"
            return self._target.put_file(backup.id, path, file.size, compress=compress)

    def _referenced(self, backup: BackupDocument) -> ObjectStore:
        if backup.cold_url is None or self._wish.cold is None:
            raise StateError(f"backup {backup.id} holds cold objects by reference, and their store is not known here")
        with self._lock:
            if backup.cold_url not in self._cold_stores:
                self._cold_stores[backup.cold_url] = self._wish.cold(backup.cold_url)
            return self._cold_stores[backup.cold_url]

    def _read_back(self, file: BackupFile, stored: StoredObject) -> None:
        with tempfile.TemporaryDirectory(prefix="tiervdb-copy-") as folder:
            path = Path(folder) / "object"
            self._target.get_file(stored, path)
            if fetching.hash_file(path) != file.sha256:
                raise CorruptionError(
                    f"{stored.key} did not come back from {self._target.url} as it was sent, or is damaged in "
                    f"{self._source.url}; run `tiervdb verify --deep` on both"
                )

    def _lost(self, file: BackupFile) -> CorruptionError:
        where = f"{file.object.key} in {self._source.url}" if file.object is not None else f"cold object {file.name}"
        return CorruptionError(f"{where}, which holds {file.name}, is missing or damaged")
