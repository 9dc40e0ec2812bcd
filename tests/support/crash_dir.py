"""A directory on a machine that loses power at a chosen step.

    for crashed in every_crash(workload, tmp_path):     # workload(directory) is stopped at its 1st, 2nd, ... step
        crashed.drop_unsynced()
        ...                                             # reopen what is left and check it

What survives is what POSIX promises and no more: bytes of a file up to its last sync, entries of a folder up to its
last sync. With a seed, a random part of the rest survives too, as it may on real disks (see ``PowerLoss``).
"""

from __future__ import annotations

import itertools
import mmap
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from tests.support.power_loss import PowerLoss
from tests.support.stepped_disk import SteppedDisk
from tiervdb.storage.local_dir import Data
from tiervdb.storage.os_dir import OsDir

When = Literal["before", "during", "after"]


class CrashPoint(BaseException):
    """The machine is off. Not an Exception, so that no handler of ordinary errors takes it for one."""


class CrashDisk(SteppedDisk):
    """Counts steps and stops at the chosen one and at all that come later, in every thread."""

    def __init__(self, shadow: Path, crash_at: int | None = None, when: When = "before") -> None:
        super().__init__()
        self.crash_at = crash_at
        self.when = when
        self.crashed = False
        self.trace: list[str] = []  # every step so far
        self.loss = PowerLoss(shadow)

    @property
    def steps(self) -> int:
        return len(self.trace)

    def kill(self) -> None:
        """Ends the process as the kernel would: closes all it had open, locks included."""
        with self.guard:
            self.crashed = True
            for descriptor in self.opened:
                os.close(descriptor)
            self.opened.clear()

    @contextmanager
    def step(self, kind: str, path: Path) -> Iterator[None]:
        self.trace.append(f"{kind} {path}")
        here = self.steps == self.crash_at
        if here and self.when == "before":
            self.crashed = True
            self._check_on()
        yield
        self.crashed = self.crashed or here  # raised after the effect was noted

    def create(self, path: Path) -> int:
        with self._on():
            descriptor = super().create(path)
            self.loss.created(path)
        return descriptor

    def open_existing(self, path: Path) -> int:
        with self._on():
            return super().open_existing(path)

    def write(self, descriptor: int, data: Data) -> None:
        with self._on():
            self.loss.touching(self.path_of(descriptor))
            if self.steps + 1 == self.crash_at and self.when == "during":
                data = memoryview(data).cast("B")[: memoryview(data).nbytes // 2]
            super().write(descriptor, data)

    def truncate(self, descriptor: int, size: int) -> None:
        with self._on():
            self.loss.overwriting(self.path_of(descriptor))
            super().truncate(descriptor, size)

    def sync(self, descriptor: int) -> None:
        with self._on():
            super().sync(descriptor)
            self.loss.synced(self.path_of(descriptor))

    def make_folder(self, path: Path) -> None:
        with self._on():
            super().make_folder(path)
            self.loss.made_folder(path)

    def rename(self, old: Path, new: Path) -> None:
        with self._on():
            states = self.loss.state(old), self.loss.state(new)
            super().rename(old, new)
            self.loss.renamed(old, new, *states)
            self.opened.update({d: new for d, path in self.opened.items() if path == old})

    def link(self, source: Path, target: Path) -> None:
        with self._on():
            super().link(source, target)
            self.loss.linked(source, target)

    def unlink(self, path: Path) -> None:
        with self._on():
            state = self.loss.state(path)
            super().unlink(path)
            self.loss.unlinked(path, state)

    def sync_folder(self, path: Path) -> None:
        with self._on():
            super().sync_folder(path)
            self.loss.synced_folder(path)

    def lock(self, path: Path) -> int | None:
        with self._on():
            is_new = not path.exists()
            descriptor = super().lock(path)
            if is_new:
                self.loss.created(path)
        return descriptor

    def read(self, path: Path) -> bytes:
        with self._on():
            return super().read(path)

    def read_ranges(self, path: Path, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        with self._on():
            return super().read_ranges(path, ranges)

    def map(self, path: Path) -> memoryview:
        with self._on():
            return super().map(path)

    def map_shared(self, path: Path) -> mmap.mmap:
        with self._on():
            self.loss.overwriting(path)
            return super().map_shared(path)

    @contextmanager
    def elsewhere(self, what: str, key: str) -> Iterator[None]:
        """Around what another machine does for this one, and keeps: a step like any other."""
        with self._on(), self.step(what, Path(key)):
            yield

    @contextmanager
    def _on(self) -> Iterator[None]:
        with self.guard:
            self._check_on()
            yield
            self._check_on()

    def _check_on(self) -> None:
        if self.crashed:
            raise CrashPoint(
                f"the machine stopped {self.when} step {self.steps}: {self.trace[-1] if self.trace else ''}"
            )


class CrashDir(OsDir):
    """An ``OsDir`` on a ``CrashDisk``; ``sub()`` gives directories on the same disk. What is there at first is durable.

    ``crash_at``: the step to stop at, counted from 1 (None: never). ``when``: before its effect, after it, or
    ``during``: in the middle of a write (other steps: after).
    """

    def __init__(self, root: Path, crash_at: int | None = None, when: When = "before") -> None:
        root = Path(root).absolute()
        self.crash_disk = CrashDisk(root.with_name(f".{root.name}.shadow"), crash_at, when)
        super().__init__(root, disk=self.crash_disk)

    @property
    def steps(self) -> int:
        """Steps taken so far."""
        return self.crash_disk.steps

    @property
    def crashed(self) -> bool:
        """Whether the chosen step was reached."""
        return self.crash_disk.crashed

    @property
    def trace(self) -> list[str]:
        """What the steps were."""
        return self.crash_disk.trace

    def kill(self) -> None:
        """Ends the process, as SIGKILL does: files and locks are closed, what was written stays."""
        self.crash_disk.kill()

    def drop_unsynced(self, seed: int | None = None) -> None:
        """Ends the process and cuts the power: leaves what a disk must keep (with a seed: may have kept)."""
        self.kill()
        self.crash_disk.loss.strike(seed)


def every_crash(
    workload: Callable[[CrashDir], object], folder: Path, when: When = "before", stride: int = 1
) -> Iterator[CrashDir]:
    """The directory of the workload, stopped at each (or each ``stride``-th) of its steps in turn.

    ``workload(directory)`` gets a new, empty directory each time and must do the same each time. Ends when it was not
    stopped any more. The directory is given as the crash left it; call ``kill`` or ``drop_unsynced`` before reopening.
    """
    for number in itertools.count(1, stride):
        directory = CrashDir(folder / f"crash-{number}", number, when)
        with suppress(CrashPoint):
            workload(directory)
        if not directory.crashed:
            directory.kill()
            return
        yield directory
        directory.kill()
