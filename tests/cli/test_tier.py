"""``tiervdb tier``: by a policy, and by fraction."""

from __future__ import annotations

from pathlib import Path

import pytest

import tiervdb
from tests.cli.conftest import Ask, Run


@pytest.fixture
def flushed(path: Path) -> Path:
    with tiervdb.open(path) as db:
        db.flush()
    return path


def tiers(path: Path) -> tuple[int, int]:
    with tiervdb.open(path, read_only=True) as db:
        [stats] = db.stats().collections
    return stats.hot_rows, stats.cold_rows


def test_a_plan_is_printed_with_its_reasons_and_nothing_moves(run: Run, ask: Ask, flushed: Path) -> None:
    said = run("tier", flushed, "--hot-max-rows", 50, "--dry-run").stdout
    assert "would move: 60 rows of 'points' to cold" in said
    assert "100 hot rows are above 50" in said
    planned = ask("tier", flushed, "--hot-max-rows", 50, "--low-water", 0.5, "--dry-run")
    [move] = planned["moves"]
    assert (planned["done"], move["collection"], move["to"], move["rows"]) == (False, "points", "cold", 75)
    assert tiers(flushed) == (100, 0)


def test_a_policy_is_carried_out(run: Run, ask: Ask, path: Path) -> None:
    document = ask("tier", path, "--hot-max-rows", 50)
    assert (document["done"], document["moves"][0]["rows"]) == (True, 60)
    assert tiers(path) == (40, 60)
    assert "nothing is to be moved" in run("tier", path, "--hot-max-rows", 50).stdout
    assert "no limit was given, and a policy is not remembered" in run("tier", path, "--dry-run").stdout
    assert "nothing is to be moved" in run("tier", "apply", path, "--demote-after", "1d", "--dry-run").stdout


def test_the_other_commands_are_still_there(run: Run, flushed: Path) -> None:
    run("tier", "demote", flushed, "points", "--fraction", 0.5)
    assert tiers(flushed) == (50, 50)
    run("tier", "promote", flushed, "points")
    assert tiers(flushed) == (100, 0)
    assert "demote" in run("tier", "--help").stdout


def test_what_makes_no_policy(run: Run, flushed: Path) -> None:
    assert "TierPolicy.low_water=2.0" in run("tier", flushed, "--low-water", 2, exit_code=2).stderr
    assert "--demote-after" in run("tier", flushed, "--demote-after", "soon", exit_code=2).stderr
    run("tier", flushed / "nothing", exit_code=5)
