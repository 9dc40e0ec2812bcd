"""Sending a backup's files and objects: several at once, each checked against the manifest's checksum first."""

from __future__ import annotations

import hashlib
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tiervdb.backup.backup_plan import Content, Item
from tiervdb.backup.leases import Renew
from tiervdb.backup.pace import Limits, Pace, giving_way
from tiervdb.backup.vault import Vault
from tiervdb.errors import CorruptionError, FeatureUnavailableError, ObjectNotFoundError, StorageError
from tiervdb.format import paths as local_paths
from tiervdb.format.repository_documents import StoredObject
from tiervdb.format.repository_paths import DataKey
from tiervdb.storage.local_dir import LocalDir
from tiervdb.storage.object_store import ObjectStore

Progress = Callable[[int, int], None]  # bytes done, bytes in all

_ROW_ADDRESSABLE = (".vectors", ".sketch", ".parquet")  # read by ranges, and hardly any smaller when compressed
_BLOCK = 1 << 20


@dataclass
class Sender:
    """Sends items under the id of one backup. Thread-safe."""

    vault: Vault
    local: LocalDir
    cold: ObjectStore
    uploader: str
    limits: Limits
    pace: Pace
    renew: Renew

    def send_all(
        self, items: Sequence[Item], sent: Callable[[Item, StoredObject], None], progress: Progress | None
    ) -> dict[Content, StoredObject]:
        """Sends them side by side; ``sent`` is told of each. After an error those in flight are finished first."""
        found: dict[Content, StoredObject] = {}
        total, lock = sum(item.size for item in items), threading.Lock()
        done = 0
        stop = threading.Event()

        def one(item: Item) -> None:
            nonlocal done
            if stop.is_set():
                return
            try:
                stored = self.send(item)
            except BaseException:
                stop.set()
                raise
            with lock:
                found[item.content] = stored
                sent(item, stored)
                done += item.size
                if progress is not None:
                    progress(done, total)
                self.renew()

        with giving_way, ThreadPoolExecutor(self.limits.parallel, thread_name_prefix="tiervdb-backup") as pool:
            futures = [pool.submit(one, item) for item in sorted(items, key=lambda i: -i.size)]
        for future in futures:
            future.result()
        return found

    def send(self, item: Item) -> StoredObject:
        """Sends one. CorruptionError if it is missing or not what the manifest lists."""
        self.pace.request(item.size)
        return self._send_cold(item) if item.role == "cold" else self._send_local(item)

    def _send_local(self, item: Item) -> StoredObject:
        path = self.local.complete(item.name)
        if not self.local.exists(item.name):
            raise CorruptionError(
                f"{path} is missing, but the manifest lists it: nothing was backed up. Run `tiervdb check`, and "
                "restore the file from an earlier backup or a clone"
            )
        _require_content(path, item, str(path))
        return self.vault.put_file(self.uploader, path, item.size, compress=_shrinks(item.name))

    def _send_cold(self, item: Item) -> StoredObject:
        try:
            copied = self._copied_inside(item)
            return copied if copied is not None else self._through_here(item)
        except ObjectNotFoundError as error:
            raise CorruptionError(
                f"cold object {item.name} is missing in {self.cold.url}: nothing was backed up. Restore it from an "
                "earlier backup, or delete its rows"
            ) from error

    def _copied_inside(self, item: Item) -> StoredObject | None:
        """By the store itself, where source and repository are in stores that can; never into an encrypted one."""
        if self.vault.encrypted:
            return None
        key = DataKey(self.uploader, local_paths.random_id(self.vault.rng)).key
        with suppress(FeatureUnavailableError):
            self.vault.store.copy_from(self.cold, item.name, key)
            with tempfile.TemporaryDirectory(prefix="tiervdb-backup-") as folder:
                path = Path(folder) / "object"
                self.vault.store.get_file(key, path)  # nobody has looked at its bytes yet
                _require_content(path, item, f"{self.cold.url}/{item.name}")
            return StoredObject(key=key, size=item.size, stored_size=item.size)
        return None

    def _through_here(self, item: Item) -> StoredObject:
        with tempfile.TemporaryDirectory(prefix="tiervdb-backup-") as folder:
            path = Path(folder) / "object"
            self.cold.get_file(item.name, path)
            _require_content(path, item, f"{self.cold.url}/{item.name}")
            return self.vault.put_file(self.uploader, path, item.size, compress=_shrinks(item.name))


def require_there(vault: Vault, stored: Sequence[StoredObject]) -> None:
    """CorruptionError unless each object is there with its size: one list for each backup that sent some."""
    uploaders = {"/".join(s.key.split("/")[:2]) + "/" for s in stored}
    sizes = {found.key: found.size for prefix in sorted(uploaders) for found in vault.store.list(prefix)}
    for one in stored:
        size = sizes.get(one.key)
        if size != one.stored_size:
            what = "is missing" if size is None else f"has {size} bytes instead of {one.stored_size}"
            raise CorruptionError(
                f"{one.key} in {vault.url} {what}: the backup was not finished. Run `tiervdb verify`, and make a full "
                'backup (kind="full"), which depends on no earlier one'
            )


def _require_content(path: Path, item: Item, name: str) -> None:
    digest = hashlib.sha256()
    size = 0
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
                size += len(block)
    except OSError as error:
        raise StorageError(f"reading {name} for a backup failed: {error}") from error
    if size != item.size or digest.hexdigest() != item.sha256:
        raise CorruptionError(
            f"{name} is damaged: its bytes are not those that the manifest lists, and nothing was backed up. Run "
            "`tiervdb check`, and restore the file from an earlier backup or a clone"
        )


def _shrinks(name: str) -> bool:
    return not name.endswith(_ROW_ADDRESSABLE)
