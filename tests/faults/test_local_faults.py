"""A local disk that fails: a clear error, nothing lost, nothing half done, in the same process and after reopening."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.driver import prepare
from tests.crash.workload import PHASES, Phase
from tests.faults.driver import KINDS, count, run
from tests.model.bench import Prepared
from tests.support.fault_plan import When
from tests.support.faulty_dir import FaultyDir, io_error

WRITING = [phase for phase in PHASES if phase.setup is not None and phase.name != "clones"]
Break = Callable[[FaultyDir], None]


def error_at(kind: str, number: int, when: When) -> Break:
    return lambda disk: disk.plan.fail(io_error(), kind, at=number, when=when)


def full_after(size: int) -> Break:
    return lambda disk: disk.fill_up(size)


def break_in_turn(phase: Phase, prepared: Prepared, folder: Path, breaks: dict[str, Break]) -> int:
    noticed = 0
    for what, break_it in breaks.items():
        try:
            noticed += run(phase, prepared, folder / what, break_it)
        except BaseException as error:
            error.add_note(f"phase {phase.name}, {what}")
            raise
    return noticed


def errors(phase: Phase, folder: Path, stride: int) -> tuple[int, int]:
    """Each kind of call fails, every ``stride``-th of it, before and after its effect."""
    prepared = prepare(phase, folder / "prepared")
    calls = count(phase, prepared, folder / "whole").calls
    breaks = {
        f"{kind} {number} {when}": error_at(kind, number, when)
        for kind in KINDS
        for number in range(1, calls[kind] + 1, stride)
        for when in ("before", "after")
    }
    return break_in_turn(phase, prepared, folder, breaks), len(breaks)


def full_disks(phase: Phase, folder: Path, steps: int) -> tuple[int, int]:
    prepared = prepare(phase, folder / "prepared")
    written = count(phase, prepared, folder / "whole").written
    breaks = {f"full after {n}": full_after(n) for n in range(0, written, max(1, written // steps))}
    return break_in_turn(phase, prepared, folder, breaks), len(breaks)


@pytest.mark.parametrize("phase", WRITING, ids=lambda phase: phase.name)
def test_a_call_fails(phase: Phase, tmp_path: Path) -> None:
    noticed, tried = errors(phase, tmp_path, 37)
    assert tried > 4
    assert noticed > tried // 4


@pytest.mark.parametrize("phase", WRITING, ids=lambda phase: phase.name)
def test_the_disk_is_full(phase: Phase, tmp_path: Path) -> None:
    noticed, tried = full_disks(phase, tmp_path, 3)
    assert noticed >= tried - 1 > 1


@pytest.mark.slow
@pytest.mark.parametrize("phase", WRITING, ids=lambda phase: phase.name)
def test_every_call_fails(phase: Phase, tmp_path: Path) -> None:
    noticed, tried = errors(phase, tmp_path, 1)
    assert noticed > tried // 4


@pytest.mark.slow
@pytest.mark.parametrize("phase", WRITING, ids=lambda phase: phase.name)
def test_the_disk_is_full_at_many_sizes(phase: Phase, tmp_path: Path) -> None:
    noticed, tried = full_disks(phase, tmp_path, 150)
    assert noticed > tried // 2
