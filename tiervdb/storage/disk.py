"""The system calls that touch files, one method each, so that tests can count, fail and forget every one of them.

Only ``OsDir`` and its files use it. Errors are plain OSError.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tiervdb.storage.local_dir import Data

_FULL_SYNC: int | None = getattr(fcntl, "F_FULLFSYNC", None)  # macOS: fsync alone leaves bytes in the drive's cache
_LOCK_ATTEMPTS = 5
_LOCK_PAUSE = 0.002  # seconds


class Disk:
    """The local file system. ``sync=False`` leaves out real syncing, for tests: then nothing survives a power loss."""

    def __init__(self, *, sync: bool = True) -> None:
        self.syncing = sync

    # Files. Descriptors are closed on exec.

    def create(self, path: Path) -> int:
        """A descriptor to write a new file; FileExistsError if the name is taken."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)

    def open_existing(self, path: Path) -> int:
        """A descriptor that appends to an existing file."""
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)

    def write(self, descriptor: int, data: Data) -> None:
        """Writes all of ``data``; after an error a part may be written."""
        rest = memoryview(data).cast("B")
        while rest:
            rest = rest[os.write(descriptor, rest) :]

    def truncate(self, descriptor: int, size: int) -> None:
        os.ftruncate(descriptor, size)

    def sync(self, descriptor: int) -> None:
        """Makes the bytes and the size of the file durable."""
        if not self.syncing:
            return
        if _FULL_SYNC is not None:
            fcntl.fcntl(descriptor, _FULL_SYNC)
        elif sys.platform == "linux":
            os.fdatasync(descriptor)
        else:
            os.fsync(descriptor)

    def close(self, descriptor: int) -> None:
        os.close(descriptor)

    # Directory entries.

    def make_folder(self, path: Path) -> None:
        path.mkdir()

    def rename(self, old: Path, new: Path) -> None:
        old.replace(new)

    def link(self, source: Path, target: Path) -> None:
        os.link(source, target)

    def unlink(self, path: Path) -> None:
        path.unlink()

    def sync_folder(self, path: Path) -> None:
        """Makes the entries of a folder durable."""
        if not self.syncing:
            return
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    # Reading.

    def read(self, path: Path) -> bytes:
        return path.read_bytes()

    def read_ranges(self, path: Path, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return [_pread(descriptor, offset, length) for offset, length in ranges]
        finally:
            os.close(descriptor)

    def map(self, path: Path) -> memoryview:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if os.fstat(descriptor).st_size == 0:
                return memoryview(b"")
            return memoryview(mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ))
        finally:
            os.close(descriptor)

    def map_shared(self, path: Path) -> mmap.mmap:
        """The file as memory that other processes see, writable where the file is. Empty files cannot be mapped."""
        try:
            descriptor, access = os.open(path, os.O_RDWR | os.O_CLOEXEC), mmap.ACCESS_WRITE
        except OSError as error:
            if isinstance(error, FileNotFoundError):
                raise
            descriptor, access = os.open(path, os.O_RDONLY | os.O_CLOEXEC), mmap.ACCESS_READ
        try:
            return mmap.mmap(descriptor, 0, access=access)
        finally:
            os.close(descriptor)

    # Locks.

    def lock(self, path: Path) -> int | None:
        """A descriptor that holds the exclusive lock on a file, which is created if missing; None if it is taken."""
        for attempt in range(_LOCK_ATTEMPTS):
            if attempt:  # somebody may only be looking, see is_locked
                time.sleep(_LOCK_PAUSE)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            if _try_lock(descriptor, fcntl.LOCK_EX) and _is_at(descriptor, path):
                return descriptor
            os.close(descriptor)
        return None

    def is_locked(self, path: Path) -> bool:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            return not _try_lock(descriptor, fcntl.LOCK_SH)
        finally:
            os.close(descriptor)


def _pread(descriptor: int, offset: int, length: int) -> bytes:
    parts: list[bytes] = []
    while length > 0 and (part := os.pread(descriptor, length, offset)):
        parts.append(part)
        offset += len(part)
        length -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether the path still names the opened file: a lock on a deleted file locks nobody out."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
