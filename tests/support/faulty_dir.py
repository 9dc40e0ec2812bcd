"""A directory on a disk that fails: errors before and after the effect, a full disk, damaged bytes."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.fault_plan import FaultPlan
from tests.support.stepped_disk import SteppedDisk
from tiervdb.storage.local_dir import Data
from tiervdb.storage.os_dir import OsDir


def io_error(number: int = errno.EIO) -> OSError:
    """What the kernel would say."""
    return OSError(number, os.strerror(number))


class FaultyDisk(SteppedDisk):
    """Kinds of calls for the plan: those of ``SteppedDisk`` and ``read`` (reading, in ranges and mapping too)."""

    def __init__(self, plan: FaultPlan) -> None:
        super().__init__()
        self.plan = plan
        self.room: int | None = None  # bytes that can still be written

    @contextmanager
    def step(self, kind: str, path: Path) -> Iterator[None]:
        fault = self.plan.due(kind, str(path))
        if fault and fault.error and fault.when == "before":
            raise fault.error
        yield
        if fault and fault.error:
            raise fault.error

    def write(self, descriptor: int, data: Data) -> None:
        with self.guard:
            size = memoryview(data).nbytes
            if self.room is None or size <= self.room:
                self.room = None if self.room is None else self.room - size
                super().write(descriptor, data)
                return
            part, self.room = memoryview(data).cast("B")[: self.room], 0
            super().write(descriptor, part)
            raise io_error(errno.ENOSPC)

    def read(self, path: Path) -> bytes:
        return self._read(path, lambda: super(FaultyDisk, self).read(path))

    def map(self, path: Path) -> memoryview:
        return memoryview(self._read(path, lambda: super(FaultyDisk, self).read(path)))

    def read_ranges(self, path: Path, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        whole = self._read(path, lambda: super(FaultyDisk, self).read(path))
        return [whole[offset : offset + length] for offset, length in ranges]

    def _read(self, path: Path, read: Callable[[], bytes]) -> bytes:
        fault = self.plan.due("read", str(path))
        if fault and fault.error:
            raise fault.error
        data = read()
        return self.plan.damaged(data, fault.damage) if fault else data


class FaultyDir(OsDir):
    """An ``OsDir`` on a ``FaultyDisk``; ``sub()`` gives directories on the same disk.

    directory.plan.fail(io_error(), "sync", at=3)               # the third sync from now fails, before its effect
    directory.plan.fail(io_error(), "rename", when="after")
    directory.plan.damage("flip", "read", name_part=".manifest", count=None)
    directory.fill_up(10_000)                                   # then the disk is full
    """

    def __init__(self, root: Path, seed: int = 0) -> None:
        self.plan = FaultPlan(seed)
        self.faulty_disk = FaultyDisk(self.plan)
        super().__init__(root, disk=self.faulty_disk)

    def fill_up(self, after_bytes: int = 0) -> None:
        """Lets so many more bytes be written; the write that does not fit writes what fits and fails."""
        self.faulty_disk.room = after_bytes

    def make_room(self) -> None:
        """The disk is not full any more."""
        self.faulty_disk.room = None
