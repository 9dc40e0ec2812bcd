"""One directory of local files: the interface that everything local goes through.

Names are relative POSIX paths such as ``wal/x.wal``; one that leads out of the directory raises InvalidInputError.
Folders come into being with the first file in them.

*Durable* means that it survives a power loss: the bytes and the directory entry were both synced. A method says if it
is. All methods may be called from any thread. OSError never comes out: a missing file is ObjectNotFoundError, a taken
name ObjectExistsError, a full disk DiskFullError, all else StorageError.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

Bring = Callable[[Sequence[tuple[int, int]]], None]  # makes the bytes at each (offset, length) present
Data = bytes | bytearray | memoryview
SharedWords = npt.NDArray[np.uint64]

STAGING_FOLDER = "tmp"  # what a crash leaves here is rubbish


class AppendFile(Protocol):
    """A file that only grows. One thread writes, others may sync meanwhile. After a failed call all others fail."""

    @property
    def size(self) -> int:
        """Bytes in the file, those written through it and those it was reopened with."""
        ...

    def write(self, data: Data) -> None:
        """Appends all of ``data``; durable after ``sync``. After an error an unknown part of it may be in the file."""
        ...

    def sync(self) -> None:
        """Makes durable all that was written before the call. After an error it must not be tried again."""
        ...

    def close(self) -> None:
        """Closes without syncing. Closing twice is fine."""
        ...


class StagedFile(Protocol):
    """A new file that appears under its name whole or never. One thread. Leaving its ``with`` early aborts."""

    path: Path  # where it is staged, for libraries that write by themselves (instead of ``write``, not beside it)

    def write(self, data: Data) -> None:
        """Appends to the staged file."""
        ...

    def commit(self) -> None:
        """Syncs the file and moves it to its name, over what was there. Durable and all-or-nothing."""
        ...

    def abort(self) -> None:
        """Deletes the staged file; does nothing after ``commit``."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class FileLock(Protocol):
    """An exclusive lock of the operating system. It ends with its process; a forked child does not hold it."""

    def release(self) -> None:
        """Gives the lock back. Twice is fine."""
        ...


class LocalDir(Protocol):
    """A directory. See the module for names, durability, threads and errors."""

    root: Path

    def sub(self, folder: str) -> LocalDir:
        """The directory below this one, as a directory of its own."""
        ...

    def make(self) -> None:
        """Creates the directory itself, durably; fine if it is there. Writing does so too."""
        ...

    def read(self, name: str) -> bytes:
        """The whole file."""
        ...

    def read_ranges(self, name: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """The bytes at each (offset, length); short where the file ends."""
        ...

    def map(self, name: str) -> memoryview:
        """The whole file, read-only and memory-mapped. Stays valid when the file is deleted or replaced."""
        ...

    def map_blocks(self, name: str) -> tuple[memoryview, Bring | None]:
        """As ``map``, where a file may still be elsewhere: its bytes are right only once they were brought.

        None: all of them are here.
        """
        ...

    def complete(self, name: str) -> Path:
        """As ``path``, with all bytes of the file there."""
        ...

    def write_atomic(self, name: str, data: Data) -> None:
        """Creates or replaces a file. Durable; after a crash it is there whole or as it was."""
        ...

    def write_volatile(self, name: str, data: Data) -> None:
        """Like ``write_atomic`` without syncing: after a power loss the file may be missing, cut or empty."""
        ...

    def create_exclusive(self, name: str, data: Data) -> None:
        """Like ``write_atomic``, but of all who try, in any process, one succeeds. The others get ObjectExistsError."""
        ...

    def append_file(self, name: str) -> AppendFile:
        """A new, empty file to append to; its entry is durable. ObjectExistsError if taken."""
        ...

    def reopen_append(self, name: str, size: int) -> AppendFile:
        """Cuts an existing file to ``size`` bytes, durably, and continues there. StorageError if it is shorter."""
        ...

    def stage(self, name: str) -> StagedFile:
        """A new file that is written piece by piece and appears on ``commit``."""
        ...

    def link(self, source: Path, name: str) -> None:
        """A hard link to a file anywhere; a copy where links are impossible. Durable. ObjectExistsError if taken."""
        ...

    def rename(self, old: str, new: str) -> None:
        """Moves a file over whatever had the new name. Atomic and durable."""
        ...

    def delete(self, name: str, *, durable: bool = False) -> None:
        """Deletes a file; missing is fine. Unless ``durable``, it may be back after a power loss."""
        ...

    def remove_empty_folders(self) -> None:
        """Removes the folders without a file in them, this directory included. Not durable."""
        ...

    def list(self, folder: str) -> list[str]:
        """Full relative names of the files directly in a folder ("" is this directory), sorted. Missing: empty."""
        ...

    def walk(self, folder: str) -> Iterator[str]:
        """Full relative names of all files in and below a folder ("" is this directory), in no certain order."""
        ...

    def size(self, name: str) -> int:
        """Bytes in a file."""
        ...

    def exists(self, name: str) -> bool:
        """Whether there is a file of that name."""
        ...

    def path(self, name: str) -> Path:
        """The real path, for libraries that need one. What is written there by others is neither synced nor checked."""
        ...

    def shared_words(self, name: str, count: int) -> SharedWords:
        """uint64[count] shared with all processes that map it, created as zeros; read-only where the file is.

        Never synced: after a power loss each word holds its newest or an older value. CorruptionError on another size.
        """
        ...

    def lock(self, name: str) -> FileLock | None:
        """Takes the exclusive lock on a file without waiting; None if it is held. Writes nothing into the file."""
        ...

    def is_locked(self, name: str) -> bool:
        """Whether somebody, this process included, holds the lock."""
        ...
