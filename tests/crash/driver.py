"""Stops a phase at one of its storage operations, drops what was not synced, opens again and checks."""

from __future__ import annotations

import random
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.crash.workload import Phase, rows, two_collections
from tests.model.bench import Bench, Prepared
from tests.support.crash_dir import CrashPoint, When
from tiervdb.engine.gc import references_of
from tiervdb.errors import AlreadyExistsError
from tiervdb.format import paths


@dataclass(frozen=True)
class Stop:
    """``step``: counted from 1. ``power``: the machine stops, else only the process. ``seed``: what the disk keeps.

    ``again``: the first attempt to recover is stopped too, at this step.
    """

    step: int
    when: When = "before"
    power: bool = True
    seed: int | None = None
    again: int | None = None


def prepare(phase: Phase, folder: Path) -> Prepared:
    """What the phase starts from."""
    bench = Bench(folder, phase.options)
    folder.mkdir()
    if phase.setup is not None:
        bench.start()
        phase.setup(bench)
        bench.verify()
        bench.stop()
    return bench.prepared()


def count_steps(phase: Phase, prepared: Prepared, folder: Path) -> int:
    """How many storage operations the phase takes; it must do the same each time."""
    bench = Bench(folder, phase.options, prepared)
    _work(bench, phase)
    steps = bench.directory.steps
    bench.start()
    bench.recovered()
    assert bench.acked == max(bench.states)
    bench.end()
    return steps


def run(phase: Phase, prepared: Prepared, folder: Path, stop: Stop) -> None:
    """One crash. Raises AssertionError or what opening raised, if anything is not as it must be."""
    bench = Bench(folder, phase.options, prepared)
    disk = bench.directory.crash_disk
    disk.crash_at, disk.when = stop.step, stop.when
    with suppress(CrashPoint):
        _work(bench, phase)
    assert disk.crashed, f"{phase.name} took fewer than {stop.step} steps this time"
    bench.crash(power=stop.power, seed=stop.seed)
    if stop.again is not None:
        bench.directory.crash_disk.crash_at = stop.again
        with suppress(CrashPoint):
            bench.start()
        bench.crash(power=stop.power, seed=stop.seed)
    bench.start()
    bench.recovered()
    if phase.again is not None:
        phase.again(bench)
    _go_on(bench)
    bench.end()


def stops(steps: int, stride: int, whens: tuple[When, ...]) -> list[Stop]:
    """Every ``stride``-th step, in all the ways that a machine may stop, taking turns; and the last one."""
    chance = random.Random(steps)
    found: list[Stop] = []
    for step in (*range(1 + steps % stride, steps, stride), steps):
        for when in whens:
            turn = len(found) % 4
            again = chance.randint(1, 12) if chance.random() < 0.25 else None
            found.append(Stop(step, when, power=turn != 3, seed=None if turn in {0, 3} else step, again=again))
    return found


def _work(bench: Bench, phase: Phase) -> None:
    bench.start()
    phase.work(bench)
    bench.stop()


def _go_on(bench: Bench) -> None:
    """The database is as good as new: it can be written, and the collection of garbage leaves no rubbish behind."""
    _finish_clones(bench)
    if "words" not in bench.model.collections:
        _recreate(bench)
    bench.upsert("words", rows([70, 71], 70))
    bench.db.flush()
    bench.db.maintain()
    bench.verify()
    found = bench.check(bench.local)
    assert [f for f in found if not f.file.startswith("log/")] == []  # headers of old commits are never synced
    assert _cold_objects(bench) == _needed_objects(bench)
    bench.reopen()


def _recreate(bench: Bench) -> None:
    if "texts" in bench.model.collections:
        bench.create("words", 3, "l2", "int64", {"rank": "int64", "pos": "string"})
    else:
        two_collections(bench)


def _finish_clones(bench: Bench) -> None:
    """A clone is there whole, or can be made."""
    if "first" not in bench.model.snapshots:
        return
    expected = bench.states[bench.model.snapshots["first"]]
    with suppress(AlreadyExistsError):
        bench.clone("copy", at="first")
    bench.verify_clone("copy", expected)


def _cold_objects(bench: Bench) -> set[str]:
    found = (name.removeprefix("cold/") for name in bench.local.walk("cold"))
    return {name for name in found if isinstance(paths.parse_key(name), paths.ObjectKey)}


def _needed_objects(bench: Bench) -> set[str]:
    manifests = bench.shard.core.env.manifests
    needed = (f.name for version in manifests.versions() for f in references_of(manifests.read(version)))
    return {name for name in needed if isinstance(paths.parse_key(name), paths.ObjectKey)}
