"""Runs a phase of the crash tests on a disk that fails at one of its operations, and checks what is left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.crash.workload import Phase
from tests.model.bench import Bench, Prepared
from tests.model.model import assert_same
from tests.support.faulty_dir import FaultyDir
from tiervdb.errors import CommitOutcomeUnknown, StorageError, WritesRefusedError
from tiervdb.storage.os_dir import OsDir

KINDS = ("create", "write", "truncate", "sync", "make_folder", "rename", "link", "unlink", "sync_folder")
_MUCH = 10**12
EXPECTED = (StorageError, CommitOutcomeUnknown, WritesRefusedError)


@dataclass(frozen=True)
class Counted:
    """How often a phase calls each kind of the disk's functions, and how many bytes it writes."""

    calls: Counter[str]
    written: int


def count(phase: Phase, prepared: Prepared, folder: Path) -> Counted:
    """What there is to fail between opening and closing."""
    bench = Bench(folder, phase.options, prepared)
    disk = FaultyDir(folder)
    bench.directory = disk
    bench.start()
    disk.plan.calls.clear()
    disk.fill_up(_MUCH)
    phase.work(bench)
    written = _MUCH - (disk.faulty_disk.room or 0)
    calls = Counter(disk.plan.calls)
    bench.stop()
    return Counted(calls, written)


def run(phase: Phase, prepared: Prepared, folder: Path, break_it: Callable[[FaultyDir], None]) -> bool:
    """Whether the workload noticed. The disk breaks when the database is open, and works again afterwards."""
    bench = Bench(folder, phase.options, prepared)
    disk = FaultyDir(folder)
    bench.directory = disk
    bench.start()
    break_it(disk)
    noticed = False
    try:
        phase.work(bench)
    except EXPECTED:
        noticed = True
    disk.plan.heal()
    disk.make_room()
    _shows_a_state(bench)
    _goes_on_or_refuses(bench)
    _shows_a_state(bench)
    bench.check(bench.local)
    with suppress(*EXPECTED):
        bench.stop()
    bench.directory = OsDir(folder, sync=False)
    bench.start()
    bench.recovered()
    bench.db.maintain()
    bench.verify()
    assert bench.check(bench.local) == []
    bench.stop()
    return noticed


def _shows_a_state(bench: Bench) -> None:
    """All that was acknowledged, and exactly the commits up to one."""
    assert bench.acked <= bench.db.seq <= max(bench.states)
    assert_same(bench.db, bench.states[bench.db.seq])


def _goes_on_or_refuses(bench: Bench) -> None:
    """In the same process: writing goes on, or it says that it does not."""
    possible = dict(bench.states)
    bench.model, bench.acked = bench.states[bench.db.seq], bench.db.seq
    try:
        bench.create("after all", 1, "l2", "int64", {})
    except WritesRefusedError:
        bench.states = possible
        with suppress(*EXPECTED):
            bench.db.flush()
        with suppress(*EXPECTED):
            bench.db.maintain()
    else:
        bench.db.flush()
        bench.drop("after all")
        bench.db.flush()
        bench.db.maintain()
