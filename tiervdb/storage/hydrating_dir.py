"""A directory some of whose files are still elsewhere: they come when they are touched, whole or block by block.

A missing file that is mapped for reading in blocks lies here as a sparse file of its full size, into which the touched
blocks are written before anybody reads them. Once whole and verified it gets its name. See ``LocalDir``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tiervdb.storage.coalesce import coalesce, cut
from tiervdb.storage.local_dir import AppendFile, Bring, Data, FileLock, LocalDir, SharedWords, StagedFile
from tiervdb.storage.object_store import ByteRange
from tiervdb.storage.os_errors import os_errors

SPARSE_FOLDER = "hydrating"  # what a crash leaves there is rubbish
_STEP = 64 * 1024  # blocks that are known to be here or not


@dataclass(frozen=True)
class Elsewhere:
    """A file that is elsewhere. ``ranges``: reads parts; ``verify``: raises CorruptionError unless a file is it."""

    size: int
    fetch: Callable[[Path], None]
    ranges: Callable[[Sequence[ByteRange]], list[bytes]]
    verify: Callable[[Path], None]


@dataclass
class _Sparse:
    """A file that is coming: which of its steps are here."""

    path: Path
    here: npt.NDArray[np.bool_]
    lock: threading.Lock = field(default_factory=threading.Lock)


class Hydration:
    """The files that are elsewhere, by name, shared by a directory and its folders. Thread-safe."""

    def __init__(self, local: LocalDir, missing: Mapping[str, Elsewhere]) -> None:
        self.local = local
        self._missing = {name: file for name, file in missing.items() if not local.exists(name)}
        self._sparse: dict[str, _Sparse] = {}
        self._lock = threading.Lock()
        self._busy: dict[str, threading.Lock] = {}
        for name in list(local.walk(SPARSE_FOLDER)):
            local.delete(name)

    @property
    def names(self) -> list[str]:
        """What is still missing."""
        with self._lock:
            return sorted(self._missing)

    @property
    def missing_bytes(self) -> int:
        with self._lock:
            return sum(file.size for file in self._missing.values())

    def get(self, name: str) -> Elsewhere | None:
        with self._lock:
            return self._missing.get(name)

    def forget(self, name: str) -> bool:
        """Nobody needs it any more; whether it was missing."""
        with self._lock:
            return self._missing.pop(name, None) is not None

    def bring(self, name: str) -> None:
        """Makes the whole file local, verified and durable."""
        with self._lock:
            busy = self._busy.setdefault(name, threading.Lock())
        with busy:
            file = self.get(name)
            if file is None:
                return
            if name in self._sparse:
                self._fill(name, file)
            else:
                with self.local.stage(name) as staged:
                    file.fetch(staged.path)
                    file.verify(staged.path)
                    staged.commit()
            self.forget(name)

    def map_blocks(self, name: str) -> tuple[memoryview, Bring | None]:
        """The file as a map that is right only where ``bring`` was called for its bytes."""
        with self._lock:
            file = self._missing.get(name)
            sparse = self._sparse.get(name)
            if file is None:
                return self.local.map(name), None
            if sparse is None:
                sparse = self._sparse[name] = self._start(name, file)
        view = self.local.map(f"{SPARSE_FOLDER}/{name}")

        def bring(ranges: Sequence[tuple[int, int]]) -> None:
            self._bring_ranges(sparse, file, ranges)

        return view, bring

    def _start(self, name: str, file: Elsewhere) -> _Sparse:
        sparse_name = f"{SPARSE_FOLDER}/{name}"
        self.local.write_volatile(sparse_name, b"")
        path = self.local.path(sparse_name)
        with os_errors("making room in", path), path.open("r+b") as opened:
            opened.truncate(file.size)
        return _Sparse(path, np.zeros(-(-file.size // _STEP), np.bool_))

    def _bring_ranges(self, sparse: _Sparse, file: Elsewhere, ranges: Sequence[tuple[int, int]]) -> None:
        wanted = sorted({step for start, length in ranges for step in _steps(start, length) if not sparse.here[step]})
        if not wanted:
            return
        spans = [ByteRange(step * _STEP, min(_STEP, file.size - step * _STEP)) for step in wanted]
        runs = coalesce(spans)
        pieces = cut(spans, runs, file.ranges([run.span for run in runs]))
        with sparse.lock, os_errors("writing", sparse.path), sparse.path.open("r+b") as out:
            for step, piece in zip(wanted, pieces, strict=True):
                out.seek(step * _STEP)
                out.write(piece)
            out.flush()
            sparse.here[wanted] = True

    def _fill(self, name: str, file: Elsewhere) -> None:
        """Brings the rest of a sparse file, and gives it its name: whoever mapped it goes on reading it."""
        sparse = self._sparse[name]
        rest = np.flatnonzero(~sparse.here)
        for start in range(0, len(rest), 256):
            part = [(int(step) * _STEP, 1) for step in rest[start : start + 256]]
            self._bring_ranges(sparse, file, part)
        file.verify(sparse.path)
        sparse_name = f"{SPARSE_FOLDER}/{name}"
        self.local.reopen_append(sparse_name, file.size).close()  # syncs it
        self.local.rename(sparse_name, name)
        del self._sparse[name]


class HydratingDir:
    """See ``LocalDir``: ``inner`` with the files that are elsewhere. ``prefix``: of a folder in the whole directory."""

    def __init__(self, inner: LocalDir, hydration: Hydration, prefix: str = "") -> None:
        self.inner = inner
        self.hydration = hydration
        self.root = inner.root
        self._prefix = prefix

    def sub(self, folder: str) -> HydratingDir:
        return HydratingDir(self.inner.sub(folder), self.hydration, f"{self._prefix}{folder}/")

    def make(self) -> None:
        self.inner.make()

    def _missing(self, name: str) -> Elsewhere | None:
        return self.hydration.get(self._prefix + name)

    def _bring(self, name: str) -> None:
        if self._missing(name) is not None:
            self.hydration.bring(self._prefix + name)

    # What reads a file brings it.

    def read(self, name: str) -> bytes:
        self._bring(name)
        return self.inner.read(name)

    def read_ranges(self, name: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        file = self._missing(name)
        if file is None:
            return self.inner.read_ranges(name, ranges)
        inside = [ByteRange(start, max(0, min(length, file.size - start))) for start, length in ranges]
        return file.ranges(inside)

    def map(self, name: str) -> memoryview:
        self._bring(name)
        return self.inner.map(name)

    def map_blocks(self, name: str) -> tuple[memoryview, Bring | None]:
        if self._missing(name) is None:
            return self.inner.map_blocks(name)
        return self.hydration.map_blocks(self._prefix + name)

    def complete(self, name: str) -> Path:
        self._bring(name)
        return self.inner.complete(name)

    def exists(self, name: str) -> bool:
        return self._missing(name) is not None or self.inner.exists(name)

    def size(self, name: str) -> int:
        file = self._missing(name)
        return self.inner.size(name) if file is None else file.size

    def list(self, folder: str) -> list[str]:
        prefix = f"{self._prefix}{folder}/" if folder else self._prefix
        beside = [n for n in self.hydration.names if n.startswith(prefix) and "/" not in n[len(prefix) :]]
        return sorted({*self.inner.list(folder), *(name[len(self._prefix) :] for name in beside)})

    def walk(self, folder: str) -> Iterator[str]:
        prefix = f"{self._prefix}{folder}/" if folder else self._prefix
        beside = {name[len(self._prefix) :] for name in self.hydration.names if name.startswith(prefix)}
        return iter({*self.inner.walk(folder), *beside})

    # What changes a name makes the file there the one that counts.

    def delete(self, name: str, *, durable: bool = False) -> None:
        self.hydration.forget(self._prefix + name)
        self.inner.delete(name, durable=durable)

    def rename(self, old: str, new: str) -> None:
        self._bring(old)
        self.hydration.forget(self._prefix + new)
        self.inner.rename(old, new)

    def write_atomic(self, name: str, data: Data) -> None:
        self.inner.write_atomic(name, data)
        self.hydration.forget(self._prefix + name)

    def write_volatile(self, name: str, data: Data) -> None:
        self.inner.write_volatile(name, data)
        self.hydration.forget(self._prefix + name)

    def create_exclusive(self, name: str, data: Data) -> None:
        self.inner.create_exclusive(name, data)

    def append_file(self, name: str) -> AppendFile:
        return self.inner.append_file(name)

    def reopen_append(self, name: str, size: int) -> AppendFile:
        return self.inner.reopen_append(name, size)

    def stage(self, name: str) -> StagedFile:
        return self.inner.stage(name)

    def link(self, source: Path, name: str) -> None:
        self.inner.link(source, name)

    def remove_empty_folders(self) -> None:
        self.inner.remove_empty_folders()

    def path(self, name: str) -> Path:
        return self.inner.path(name)

    def shared_words(self, name: str, count: int) -> SharedWords:
        return self.inner.shared_words(name, count)

    def lock(self, name: str) -> FileLock | None:
        return self.inner.lock(name)

    def is_locked(self, name: str) -> bool:
        return self.inner.is_locked(name)


def _steps(start: int, length: int) -> range:
    return range(start // _STEP, -(-(start + length) // _STEP))
