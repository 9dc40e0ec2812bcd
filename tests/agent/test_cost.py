"""The calculator beside databases that were made: bytes and requests within a fifth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tiervdb
from tiervdb.agent import cost
from tiervdb.agent.cost import Load

ROWS, DIM = 60_000, 32


def bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of one hot segment with its graph, backed up; then demoted."""
    folder = tmp_path_factory.mktemp("cost")
    rng = np.random.default_rng(1)
    centres = rng.normal(size=(50, DIM))
    vectors = (centres[rng.integers(0, 50, ROWS)] + 0.5 * rng.normal(size=(ROWS, DIM))).astype(np.float32)
    with tiervdb.open(folder / "db", repository=folder / "repository") as db:
        words = db.create_collection("words", dim=DIM, id_type="int64", columns={"rank": "int64"})
        words.upsert(ids=np.arange(ROWS), vectors=vectors, columns={"rank": np.arange(ROWS)})
        db.maintain()
    return folder


def near(measured: float, planned: float) -> bool:
    return abs(planned / measured - 1) < 0.2


def test_hot_bytes_backup_and_log(made: Path) -> None:
    planned = cost.plan(Load(ROWS, DIM, cold=0.0, rate=0))
    with tiervdb.open(made / "db") as db:
        assert near(db.stats().local_bytes, planned.local_bytes)
        db.backup()
    assert near(bytes_in(made / "repository" / "data"), planned.full_backup_bytes)
    assert near(bytes_in(made / "repository" / "wal"), ROWS * cost.log_row_bytes(Load(ROWS, DIM)))


def test_cold_bytes(made: Path) -> None:
    planned = cost.plan(Load(ROWS, DIM, cold=1.0, rate=0))
    with tiervdb.open(made / "db") as db:
        db.demote("words", fraction=1.0)
        db.maintain()
        stats = db.stats()
    assert near(stats.cold_bytes, planned.cold_bytes)
    assert near(stats.local_bytes + bytes_in(made / "db" / "sketches"), planned.local_bytes)


def test_requests_of_a_backup(tmp_path: Path) -> None:
    with tiervdb.open(tmp_path / "db", repository=tmp_path / "repository") as db:
        words = db.create_collection("words", dim=4, id_type="int64")
        words.upsert(ids=np.arange(100), vectors=np.ones((100, 4), np.float32))
        db.backup()
    written = [p for p in (tmp_path / "repository").rglob("*") if p.is_file() and "wal" not in p.parts]
    planned = cost.plan(Load(100, 4, cold=0.0, rate=0))
    assert near(len(written), planned.puts_a_day)


def test_more_of_everything_costs_more() -> None:
    base = cost.plan(Load(1_000_000, 768))
    for more in (
        Load(2_000_000, 768),
        Load(1_000_000, 1536),
        Load(1_000_000, 768, rate=100),
        Load(1_000_000, 768, searches=10),
        Load(1_000_000, 768, offsite=True),
    ):
        assert cost.plan(more).dollars_a_month > base.dollars_a_month
