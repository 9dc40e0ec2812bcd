"""A directory of the local file system."""

from __future__ import annotations

import errno
import itertools
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np

from tiervdb.errors import CorruptionError, ObjectExistsError, StorageError
from tiervdb.storage.disk import Disk
from tiervdb.storage.local_dir import STAGING_FOLDER, Bring, Data, SharedWords
from tiervdb.storage.names import check_name
from tiervdb.storage.os_errors import os_errors
from tiervdb.storage.os_files import OsAppendFile, OsFileLock, OsStagedFile

_NO_LINKS = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EOPNOTSUPP)
_COPY_BYTES = 1 << 20


class OsDir:
    """See ``LocalDir``. Nothing is created before the first write.

    ``sync=False`` leaves out real syncing (tests). ``disk``: the system calls to use instead of the real ones.
    """

    def __init__(self, path: str | Path, *, sync: bool = True, disk: Disk | None = None) -> None:
        self.root = Path(path).absolute()
        self.disk = disk or Disk(sync=sync)
        self._staged_numbers = itertools.count(1)
        self._folders: set[Path] = set()  # known to exist, durably
        self._folders_lock = threading.Lock()

    def sub(self, folder: str) -> OsDir:
        return OsDir(self.path(folder), disk=self.disk)

    def make(self) -> None:
        with os_errors("creating", self.root):
            self._ready(self.root)

    # Reading.

    def path(self, name: str) -> Path:
        return self.root / check_name(name)

    def read(self, name: str) -> bytes:
        path = self.path(name)
        with os_errors("reading", path):
            return self.disk.read(path)

    def read_ranges(self, name: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        path = self.path(name)
        with os_errors("reading", path):
            return self.disk.read_ranges(path, ranges)

    def map(self, name: str) -> memoryview:
        path = self.path(name)
        with os_errors("mapping", path):
            return self.disk.map(path)

    def map_blocks(self, name: str) -> tuple[memoryview, Bring | None]:
        return self.map(name), None

    def complete(self, name: str) -> Path:
        return self.path(name)

    def list(self, folder: str) -> list[str]:
        path = self._folder_path(folder)
        prefix = f"{folder}/" if folder else ""
        with os_errors("listing", path):
            try:
                with os.scandir(path) as entries:
                    return sorted(prefix + entry.name for entry in entries if entry.is_file(follow_symlinks=False))
            except FileNotFoundError:
                return []

    def walk(self, folder: str) -> Iterator[str]:
        path = self._folder_path(folder)
        for here, _, files in os.walk(path):
            inside = Path(here).relative_to(self.root)
            yield from ((inside / file).as_posix() for file in files)

    def size(self, name: str) -> int:
        path = self.path(name)
        with os_errors("looking at", path):
            return path.stat().st_size

    def exists(self, name: str) -> bool:
        return self.path(name).is_file()

    # Writing.

    def write_atomic(self, name: str, data: Data) -> None:
        self._write(name, data, self._replace)

    def write_volatile(self, name: str, data: Data) -> None:
        self._write(name, data, self._replace_unsynced, sync=False)

    def create_exclusive(self, name: str, data: Data) -> None:
        self._write(name, data, self._claim)

    def append_file(self, name: str) -> OsAppendFile:
        path = self.path(name)
        with os_errors("creating", path):
            descriptor = self._create(path)
            self.disk.sync_folder(path.parent)
        return OsAppendFile(self.disk, path, descriptor)

    def reopen_append(self, name: str, size: int) -> OsAppendFile:
        path = self.path(name)
        with os_errors("reopening", path):
            if (has := path.stat().st_size) < size:
                raise StorageError(
                    f"reopening {path}: it has {has} bytes, fewer than the {size} to keep; check the file"
                )
            descriptor = self.disk.open_existing(path)
            try:
                self.disk.truncate(descriptor, size)
                self.disk.sync(descriptor)
            except BaseException:
                self.disk.close(descriptor)
                raise
        return OsAppendFile(self.disk, path, descriptor, size)

    def stage(self, name: str) -> OsStagedFile:
        return self._stage(self.path(name), self._replace)

    def link(self, source: Path, name: str) -> None:
        target = self.path(name)
        with os_errors(f"linking {source} as", target):
            self._ready(target.parent)
            try:
                self.disk.link(source, target)
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                self._copy_in(source, target)
            else:
                self.disk.sync_folder(target.parent)

    def rename(self, old: str, new: str) -> None:
        source, target = self.path(old), self.path(new)
        with os_errors(f"renaming {source} to", target):
            self._ready(target.parent)
            self.disk.rename(source, target)
            self.disk.sync_folder(target.parent)
            if source.parent != target.parent:
                self.disk.sync_folder(source.parent)

    def delete(self, name: str, *, durable: bool = False) -> None:
        path = self.path(name)
        with os_errors("deleting", path):
            if not path.is_file():
                return
            try:
                self.disk.unlink(path)
            except FileNotFoundError:
                return
            if durable:
                self.disk.sync_folder(path.parent)

    def remove_empty_folders(self) -> None:
        """Removes the folders without a file in them, this directory included. Not durable."""
        for folder in sorted((p for p in self.root.rglob("*") if p.is_dir()), reverse=True):
            self._remove_if_empty(folder)
        self._remove_if_empty(self.root)

    def _remove_if_empty(self, folder: Path) -> None:
        with os_errors("removing", folder):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()

    # Shared with other processes.

    def shared_words(self, name: str, count: int) -> SharedWords:
        path = self.path(name)
        if not path.exists():
            with suppress(ObjectExistsError):  # another process was faster
                self.create_exclusive(name, bytes(8 * count))
        if (size := self.size(name)) != 8 * count:
            raise CorruptionError(
                f"mapping {path}: it has {size} bytes instead of {8 * count}; delete it and open again"
            )
        with os_errors("mapping", path):
            return np.frombuffer(self.disk.map_shared(path), dtype=np.uint64)

    def lock(self, name: str) -> OsFileLock | None:
        path = self.path(name)
        with os_errors("locking", path):
            self._ready(path.parent)
            descriptor = self.disk.lock(path)
        return None if descriptor is None else OsFileLock(self.disk, path, descriptor)

    def is_locked(self, name: str) -> bool:
        path = self.path(name)
        with os_errors("looking at the lock", path):
            return self.disk.is_locked(path)

    # How a staged file gets its name.

    def _replace(self, staged: Path, target: Path) -> None:
        self._replace_unsynced(staged, target)
        self.disk.sync_folder(target.parent)

    def _replace_unsynced(self, staged: Path, target: Path) -> None:
        self._ready(target.parent)
        self.disk.rename(staged, target)

    def _claim(self, staged: Path, target: Path) -> None:
        self._ready(target.parent)
        self.disk.link(staged, target)  # unlike rename it fails if the name is taken
        self.disk.unlink(staged)
        self.disk.sync_folder(target.parent)

    def _stage(self, target: Path, publish: Callable[[Path, Path], None], *, sync: bool = True) -> OsStagedFile:
        def publish_as(staged: Path) -> None:
            with os_errors("writing", target):
                publish(staged, target)

        while True:
            path = self.root / STAGING_FOLDER / f"{os.getpid()}-{next(self._staged_numbers)}"
            with os_errors("writing", target):
                try:
                    descriptor = self._create(path)
                except FileExistsError:
                    continue  # left behind by an earlier process with our number
            return OsStagedFile(self.disk, path, descriptor, publish_as, sync=sync)

    def _write(self, name: str, data: Data, publish: Callable[[Path, Path], None], *, sync: bool = True) -> None:
        with self._stage(self.path(name), publish, sync=sync) as staged:
            staged.write(data)
            staged.commit()

    def _copy_in(self, source: Path, target: Path) -> None:
        if target.exists():
            raise FileExistsError(errno.EEXIST, "taken")
        with self._stage(target, self._replace) as staged, source.open("rb") as file:
            for block in iter(partial(file.read, _COPY_BYTES), b""):
                staged.write(block)
            staged.commit()

    # Folders.

    def _folder_path(self, folder: str) -> Path:
        return self.path(folder) if folder else self.root

    def _create(self, path: Path) -> int:
        self._ready(path.parent)
        try:
            return self.disk.create(path)
        except FileNotFoundError:  # somebody deleted the folder meanwhile
            with self._folders_lock:
                self._folders.clear()
            self._ready(path.parent)
            return self.disk.create(path)

    def _ready(self, folder: Path) -> None:
        """Sees to it that a folder exists durably."""
        if folder not in self._folders:
            with self._folders_lock:  # held until it is synced: nobody may use a folder that could vanish again
                self._make(folder)

    def _make(self, folder: Path) -> None:
        if not folder.is_dir():
            self._make(folder.parent)
            with suppress(FileExistsError):  # another process was faster, or a file is in the way
                self.disk.make_folder(folder)
            self.disk.sync_folder(folder.parent)
        self._folders.add(folder)
