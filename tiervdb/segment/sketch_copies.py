"""Local copies of the sketches of cold segments, as far as their budget allows. Safe to delete at any time."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Collection

from tiervdb.errors import CorruptionError, StorageError, TiervdbError
from tiervdb.format.block_file import BlockReader
from tiervdb.format.manifest_entries import FileRef
from tiervdb.format.paths import SKETCH_DIR, SketchCopyName, parse_local
from tiervdb.storage.local_dir import LocalDir, StagedFile
from tiervdb.storage.object_store import ByteRange, ObjectStore

_PART = 8 << 20


class SketchCopies:
    """Files ``sketches/<segment id>.sketch`` with the bytes of the objects in the store. Thread-safe.

    A copy that is missing, damaged or does not fit on the disk costs reads from the store, and nothing else.
    """

    def __init__(self, local: LocalDir, budget_bytes: int) -> None:
        self._local = local
        self._budget = budget_bytes
        self._lock = threading.Lock()

    def open(self, segment_id: str, reference: FileRef) -> BlockReader | None:
        """The copy, if there is one of the right size. Its blocks are checked when they are touched."""
        name = SketchCopyName(segment_id).name
        try:
            if not self._local.exists(name):
                return None
            data = self._local.map(name)
            if len(data) != reference.size:
                raise CorruptionError(f"{self._local.path(name)} has {len(data)} bytes instead of {reference.size}")
            return BlockReader(data, str(self._local.path(name)))
        except TiervdbError:
            self.drop(segment_id)
            return None

    def has(self, segment_id: str) -> bool:
        """Whether the copy is on disk now; one that is mapped may have been deleted since."""
        try:
            return self._local.exists(SketchCopyName(segment_id).name)
        except StorageError:
            return False

    def fits(self, size: int) -> bool:
        """Whether the budget allows another copy of that size."""
        return self.bytes() + size <= self._budget

    def bytes(self) -> int:
        """Of all copies."""
        return sum(self._local.size(name) for name in self._names() if self._local.exists(name))

    def keep(self, staged: StagedFile, size: int) -> None:
        """Makes a staged file the copy, if it fits."""
        with self._lock:
            if self.fits(size):
                try:
                    staged.commit()
                except StorageError:
                    return

    def download(self, segment_id: str, reference: FileRef, store: ObjectStore) -> bool:
        """Copies the object. False if that would exceed the budget or the disk; raises what reading raises."""
        with self._lock:
            if not self.fits(reference.size):
                return False
            with self._local.stage(SketchCopyName(segment_id).name) as staged:
                self._fill(staged, reference, store)
                try:
                    staged.commit()
                except StorageError:
                    return False
        return True

    def drop(self, segment_id: str) -> None:
        """Deletes a copy; missing is fine."""
        try:
            self._local.delete(SketchCopyName(segment_id).name)
        except StorageError:
            return

    def sweep(self, needed: Collection[str]) -> None:
        """Deletes the copies of all other segments."""
        for name in self._names():
            parsed = parse_local(name)
            if isinstance(parsed, SketchCopyName) and parsed.segment not in needed:
                self.drop(parsed.segment)

    def _names(self) -> list[str]:
        try:
            return self._local.list(SKETCH_DIR)
        except StorageError:
            return []

    @staticmethod
    def _fill(staged: StagedFile, reference: FileRef, store: ObjectStore) -> None:
        sha256 = hashlib.sha256()
        for start in range(0, reference.size, _PART):
            wanted = ByteRange(start, min(_PART, reference.size - start))
            (part,) = store.get_ranges(reference.name, [wanted])
            sha256.update(part)
            staged.write(part)
        if sha256.hexdigest() != reference.sha256:
            raise CorruptionError(
                f"reading {reference.name} in {store.url}: its checksum is not the manifest's; "
                "the object is damaged: restore it from a backup"
            )
