"""Lazy restores: what is fetched before a database opens, and where the rest is until it comes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

from tiervdb.backup import fetching, leases
from tiervdb.backup.opened import OpenRepository
from tiervdb.backup.sending import Progress
from tiervdb.errors import CorruptionError, TiervdbError
from tiervdb.format import documents as local_documents
from tiervdb.format import paths
from tiervdb.format import repository_documents as documents
from tiervdb.format.manifest import Manifest
from tiervdb.format.repository_documents import BackupFile, HydrationDocument
from tiervdb.storage.hydrating_dir import Elsewhere, HydratingDir, Hydration
from tiervdb.storage.local_dir import LocalDir
from tiervdb.storage.object_store import ByteRange

SMALL_BYTES = 64 << 10  # fetched before opening: a request of its own later would cost more

Opened = Callable[[], OpenRepository]


def before_opening(files: Iterable[BackupFile], manifest: Manifest, written: frozenset[int]) -> list[BackupFile]:
    """Those that opening, or the replay of the log, needs at once. ``written``: the collections that the log writes to.

    Deletion vectors, codebooks and all that is small; id indexes of the collections that are written.
    """
    ids = {s.files["ids"].name for s in manifest.segments if s.collection in written and "ids" in s.files}
    at_once = {s.deletions.name for s in manifest.segments if s.deletions is not None}
    at_once |= {c.file.name for c in manifest.codebooks} | ids
    return [file for file in files if file.name in at_once or file.size <= SMALL_BYTES]


def write(local: LocalDir, document: HydrationDocument) -> None:
    """Says in the directory what is still elsewhere, durably."""
    local.write_atomic(paths.HYDRATION, local_documents.encode(document))


def read(local: LocalDir) -> HydrationDocument | None:
    """What a directory says is elsewhere; None if all of it is here."""
    if not local.exists(paths.HYDRATION):
        return None
    return documents.decode_hydration(local.read(paths.HYDRATION), str(local.path(paths.HYDRATION)))


def give_up(local: LocalDir, opened: OpenRepository) -> None:
    """Nothing more is to come to this directory, which an interrupted restore left: releases its pin."""
    document = read(local)
    if document is not None and document.repository == opened.id:
        leases.unpin(opened.vault, document.pin)


def hydrating(local: LocalDir, document: HydrationDocument, opened: Opened) -> HydratingDir:
    """The directory, whose missing files come from the repository when they are touched. That is opened only then."""
    missing = {file.name: _elsewhere(file, opened) for file in document.files}
    return HydratingDir(local, Hydration(local, missing))


def finish(local: HydratingDir, document: HydrationDocument, opened: Opened) -> None:
    """All of it is here: the repository need not keep it for this database any more."""
    leases.unpin(opened().vault, document.pin)
    local.inner.delete(paths.HYDRATION, durable=True)  # last: it is all that knows of the pin


class Hydrator:
    """Brings what is missing, in the order of its use. Thread-safe; ``run`` in one thread."""

    def __init__(self, local: HydratingDir, document: HydrationDocument, opened: Opened) -> None:
        self._local = local
        self._document = document
        self._opened = opened
        self._stopping = threading.Event()
        self._finished = threading.Lock()

    @property
    def missing_bytes(self) -> int:
        return self._local.hydration.missing_bytes

    def run(self, progress: Progress | None = None) -> bool:
        """Brings all that is missing, unless it is stopped; whether nothing is any more. Raises StorageError,
        CorruptionError; what came stays."""
        hydration = self._local.hydration
        total = hydration.missing_bytes
        for name in sorted(hydration.names, key=_urgency):
            if self._stopping.is_set():
                return False
            hydration.bring(name)
            if progress is not None:
                progress(total - hydration.missing_bytes, total)
        with self._finished:
            if self._local.inner.exists(paths.HYDRATION):
                finish(self._local, self._document, self._opened)
        return True

    def stop(self) -> None:
        """Ends ``run`` after the file that it is at."""
        self._stopping.set()


def _urgency(name: str) -> tuple[int, str]:
    order = (".ids", ".sketch", ".columns", ".vectors", ".rowsums", ".graphrows", ".graph", ".parquet")
    return next((i for i, end in enumerate(order) if name.endswith(end)), len(order)), name


def _elsewhere(file: BackupFile, opened: Opened) -> Elsewhere:
    return Elsewhere(
        size=file.size,
        fetch=partial(_fetch, file, opened),
        ranges=partial(_ranges, file, opened),
        verify=partial(_verify, file, opened),
    )


def _fetch(file: BackupFile, opened: Opened, path: Path) -> None:
    if file.object is None:
        raise CorruptionError(f"{file.name} is not in the repository; restore another backup")
    opened().vault.get_file(file.object, path)


def _ranges(file: BackupFile, opened: Opened, ranges: Sequence[ByteRange]) -> list[bytes]:
    if file.object is None:
        raise CorruptionError(f"{file.name} is not in the repository; restore another backup")
    return opened().vault.get_ranges(file.object, ranges)


def _verify(file: BackupFile, opened: Opened, path: Path) -> None:
    if fetching.hash_file(path) != file.sha256:
        raise fetching.damaged(file, opened().vault)


class BackgroundHydration:
    """A thread that runs a hydrator, and again after a while where the repository is away."""

    def __init__(self, hydrator: Hydrator, retry_seconds: float = 5.0) -> None:
        self.hydrator = hydrator
        self.failure: Exception | None = None
        self._retry_seconds = retry_seconds
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tiervdb-hydrate", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread; what is missing stays so, and comes after the next opening."""
        self.hydrator.stop()
        self._wake.set()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self) -> None:
        while not self._wake.is_set():
            try:
                self.hydrator.run()
            except TiervdbError as error:
                self.failure = error
                self._wake.wait(self._retry_seconds)
                continue
            self.failure = None
            return
