"""A writer, someone who moves rows between the tiers, and readers, all at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

import tiervdb

ROWS, DIM, AT_ONCE = 2_000, 8, 200
OPTIONS = tiervdb.Options(flush_floats=8_000, small_floats=8_000, graph_min_rows=10**6)
MOVES = 1


def test_readers_see_every_row_once_whatever_moves(path: Path) -> None:
    """Each row is always there exactly once; each commit is seen whole, and none after a later one."""
    with tiervdb.open(path, options=OPTIONS) as db:
        points = db.create_collection("points", dim=DIM, metric="l2", id_type="int64", columns={"version": "int64"})
        points.upsert(ids=range(ROWS), vectors=normal(0, ROWS), columns={"version": [0] * ROWS})
        enough, turns = threading.Event(), {"write": 0, "move": 0, "read": 0}

        def write(rng: np.random.Generator) -> None:
            turns["write"] += 1
            first = int(rng.integers(0, ROWS - AT_ONCE))
            versions = [turns["write"]] * AT_ONCE
            points.upsert(
                ids=range(first, first + AT_ONCE),
                vectors=rng.standard_normal((AT_ONCE, DIM)).astype(np.float32),
                columns={"version": versions},
            )

        def move(rng: np.random.Generator) -> None:
            db.demote("points", 0.6 + 0.4 * float(rng.random()))
            db.promote("points", 0.6 + 0.4 * float(rng.random()))
            turns["move"] += 1
            if turns["move"] >= MOVES:
                enough.set()

        seen = 0

        def read(rng: np.random.Generator) -> None:
            nonlocal seen
            hits = points.search(rng.standard_normal((3, DIM)), k=10, nprobe=10_000, rerank=200)
            assert [len(set(ids.tolist())) for ids in hits.ids] == [10, 10, 10]
            table = points.scan(columns=["version"]).read_all()
            assert sorted(table["id"].to_pylist()) == list(range(ROWS))
            versions = table["version"].to_numpy()
            assert versions.max() >= seen
            seen = int(versions.max())
            assert not seen or (versions == seen).sum() == AT_ONCE, "the newest commit is there in part"
            assert points.count("version >= 0") == ROWS
            turns["read"] += 1

        def repeat(act: Callable[[np.random.Generator], None], seed: int) -> None:
            rng = np.random.default_rng(seed)
            try:
                while not enough.is_set():
                    act(rng)
            except BaseException:
                enough.set()
                raise

        with ThreadPoolExecutor(3) as pool:
            running = [pool.submit(repeat, act, seed) for seed, act in enumerate((write, move, read))]
            for one in running:
                one.result(60)
        assert min(turns.values()) >= MOVES, turns
        db.flush()
        assert sorted(points.scan(columns=[]).read_all()["id"].to_pylist()) == list(range(ROWS))


def normal(seed: int, rows: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, DIM)).astype(np.float32)
