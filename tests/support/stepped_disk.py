"""A disk whose every change goes through one hook: the base of those that crash and those that fail."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tiervdb.storage.disk import Disk
from tiervdb.storage.local_dir import Data


class SteppedDisk(Disk):
    """Calls ``step`` around each change, one at a time; reading is no step. Real syncing is off unless asked for.

    Kinds: create, write, truncate, sync, make_folder, rename, link, unlink, sync_folder, lock.
    """

    def __init__(self, *, sync: bool = False) -> None:
        super().__init__(sync=sync)
        self.guard = threading.RLock()
        self.opened: dict[int, Path] = {}

    @contextmanager
    def step(self, kind: str, path: Path) -> Iterator[None]:
        """Around one change."""
        raise NotImplementedError

    def create(self, path: Path) -> int:
        with self.guard, self.step("create", path):
            descriptor = super().create(path)
            self.opened[descriptor] = path
        return descriptor

    def open_existing(self, path: Path) -> int:
        with self.guard:
            descriptor = super().open_existing(path)
            self.opened[descriptor] = path
            return descriptor

    def write(self, descriptor: int, data: Data) -> None:
        with self.guard, self.step("write", self.path_of(descriptor)):
            super().write(descriptor, data)

    def truncate(self, descriptor: int, size: int) -> None:
        with self.guard, self.step("truncate", self.path_of(descriptor)):
            super().truncate(descriptor, size)

    def sync(self, descriptor: int) -> None:
        with self.guard, self.step("sync", self.path_of(descriptor)):
            super().sync(descriptor)

    def close(self, descriptor: int) -> None:
        with self.guard:
            if self.opened.pop(descriptor, None) is not None:  # else closed with the process, see CrashDisk.kill
                super().close(descriptor)

    def make_folder(self, path: Path) -> None:
        with self.guard, self.step("make_folder", path):
            super().make_folder(path)

    def rename(self, old: Path, new: Path) -> None:
        with self.guard, self.step("rename", new):
            super().rename(old, new)

    def link(self, source: Path, target: Path) -> None:
        with self.guard, self.step("link", target):
            super().link(source, target)

    def unlink(self, path: Path) -> None:
        with self.guard, self.step("unlink", path):
            super().unlink(path)

    def sync_folder(self, path: Path) -> None:
        with self.guard, self.step("sync_folder", path):
            super().sync_folder(path)

    def lock(self, path: Path) -> int | None:
        with self.guard, self.step("lock", path):
            descriptor = super().lock(path)
            if descriptor is not None:
                self.opened[descriptor] = path
        return descriptor

    def path_of(self, descriptor: int) -> Path:
        """The name an open file was opened by."""
        return self.opened.get(descriptor, Path("closed"))
