"""The machine stops at a storage operation: every acknowledged commit is there, and nothing is half done."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.driver import Stop, count_steps, prepare, run, stops
from tests.crash.workload import PHASES, Phase
from tests.support.crash_dir import When

EVERY: tuple[When, ...] = ("before", "during", "after")
STRIDE = 17  # of the short form


def crash(phase: Phase, folder: Path, stride: int, whens: tuple[When, ...]) -> list[Stop]:
    prepared = prepare(phase, folder / "prepared")
    steps = count_steps(phase, prepared, folder / "whole")
    chosen = stops(steps, stride, whens)
    for number, stop in enumerate(chosen):
        try:
            run(phase, prepared, folder / f"crash-{number}", stop)
        except BaseException as error:
            error.add_note(f"phase {phase.name}, {stop}")
            raise
    return chosen


@pytest.mark.parametrize("phase", PHASES, ids=lambda phase: phase.name)
def test_the_machine_stops_now_and_then(phase: Phase, tmp_path: Path) -> None:
    assert len(crash(phase, tmp_path, STRIDE, ("before", "during"))) > 3


@pytest.mark.slow
@pytest.mark.parametrize("when", EVERY)
@pytest.mark.parametrize("phase", PHASES, ids=lambda phase: phase.name)
def test_the_machine_stops_everywhere(phase: Phase, when: When, tmp_path: Path) -> None:
    assert len(crash(phase, tmp_path, 1, (when,))) > 20
