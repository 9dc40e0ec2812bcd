"""The machine stops at a storage operation: every acknowledged commit is there, and nothing is half done."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.driver import Stop, count_steps, prepare, run, stops
from tests.crash.workload import PHASES, Phase
from tests.support.crash_dir import When
from tiervdb.storage import place

WHENS: tuple[When, ...] = ("before", "during", "after")


@pytest.fixture(autouse=True)
def _one_inode(monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies of the directory that a phase starts from pass for the original."""
    monkeypatch.setattr(place, "inode", lambda root: 1)


def crash_everywhere(phase: Phase, folder: Path, chosen: list[Stop] | None, stride: int = 1) -> int:
    prepared = prepare(phase, folder / "prepared")
    steps = count_steps(phase, prepared, folder / "whole")
    some = chosen or stops(steps, stride, 1, WHENS)
    for number, stop in enumerate(some):
        try:
            run(phase, prepared, folder / f"crash-{number}", stop)
        except BaseException as error:
            error.add_note(f"{phase.name}, {stop}")
            raise
    return len(some)


@pytest.mark.parametrize("phase", PHASES, ids=lambda phase: phase.name)
def test_crashes(phase: Phase, tmp_path: Path) -> None:
    prepared = prepare(phase, tmp_path / "prepared")
    steps = count_steps(phase, prepared, tmp_path / "whole")
    for number, stop in enumerate(stops(steps, 11, 1 + steps % 11, WHENS[:2])):
        run(phase, prepared, tmp_path / f"crash-{number}", stop)
