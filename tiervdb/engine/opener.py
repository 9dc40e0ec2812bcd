"""From manifest entries to open segments; codebooks are read once."""

from __future__ import annotations

import hashlib
import threading

from tiervdb.engine.deletions import read_deletions
from tiervdb.engine.source import SegmentState
from tiervdb.errors import CorruptionError, ObjectNotFoundError
from tiervdb.format.manifest import CodebookEntry, FileRef, Manifest, SegmentEntry
from tiervdb.segment import codebook as codebooks
from tiervdb.segment.codebook import Codebook
from tiervdb.segment.cold_means import ColdMeans
from tiervdb.segment.segment import open_segment
from tiervdb.storage.cache import uncached
from tiervdb.storage.local_dir import LocalDir
from tiervdb.storage.object_store import ObjectStore


class SegmentOpener:
    """Opens segments of one database directory. Thread-safe."""

    def __init__(self, local: LocalDir, cold: ColdMeans) -> None:
        self.local = local
        self.cold = cold
        self._codebooks: dict[str, Codebook] = {}
        self._lock = threading.Lock()

    def open(self, entry: SegmentEntry, manifest: Manifest, known: SegmentState | None = None) -> SegmentState:
        """The segment as its entry says.

        ``known``: the one that is open now; its files are kept open if they are the same.
        """
        schema = manifest.collection(entry.collection)
        if schema is None:
            raise CorruptionError(f"segment {entry.id} belongs to collection {entry.collection}, which does not exist")
        dead = read_deletions(self.local, entry)
        if known is not None and (known.entry.files, known.entry.objects) == (entry.files, entry.objects):
            return SegmentState(known.segment, entry, dead)
        codebook = None
        if entry.codebook is not None:
            listed = manifest.codebook(entry.codebook)
            if listed is None:
                raise CorruptionError(
                    f"segment {entry.id} was coded under codebook {entry.codebook}, which is not listed"
                )
            codebook = self.codebook(listed)
        return SegmentState(open_segment(self.local, entry, schema, codebook, self.cold), entry, dead)

    def close(self) -> None:
        """Closes the store and ends the threads that read it."""
        self.cold.close()
        self.cold.store.close()

    @property
    def store(self) -> ObjectStore:
        """The cold store, as searches read it."""
        return self.cold.store

    @property
    def cold_store(self) -> ObjectStore:
        """The cold store itself, without the cache."""
        return uncached(self.cold.store)

    def codebook(self, entry: CodebookEntry) -> Codebook:
        """The codebook of an entry, from its object where the file is missing or damaged. CorruptionError if neither
        is what was written."""
        with self._lock:
            if entry.id not in self._codebooks:
                self._codebooks[entry.id] = codebooks.decode(self._bytes(entry), str(self.local.path(entry.file.name)))
            return self._codebooks[entry.id]

    def _bytes(self, entry: CodebookEntry) -> bytes:
        try:
            data = self.local.read(entry.file.name)
        except ObjectNotFoundError:
            if entry.object is None:
                raise
            data = b""
        if entry.object is not None and not _is(data, entry.file):
            data = uncached(self.store).get(entry.object.name)
        if not _is(data, entry.file):
            raise CorruptionError(
                f"{self.local.path(entry.file.name)} is damaged: its checksum is not the manifest's. "
                "Restore the file from a clone or a backup"
            )
        return data


def _is(data: bytes, file: FileRef) -> bool:
    return hashlib.sha256(data).hexdigest() == file.sha256
