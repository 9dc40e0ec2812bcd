"""A database that has a file of every kind, and all the questions that may be asked of one."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tiervdb.clock import ManualClock
from tiervdb.config import Options
from tiervdb.database.database import Database
from tiervdb.database.open import open_in
from tiervdb.engine.check import Report, check
from tiervdb.engine.open import SHARD, Setting, make_tools
from tiervdb.storage.directory_store import DirectoryStore
from tiervdb.storage.os_dir import OsDir

OPTIONS = Options(
    flush_floats=10**6, small_floats=400, graph_min_rows=100, wal_file_bytes=20_000, background=False, search_threads=2
)
DIM = 4


def vectors(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, DIM)).astype(np.float32)


def opened(root: Path, options: Options = OPTIONS, *, read_only: bool = False) -> Database:
    local = OsDir(root, sync=False)
    return open_in(local, Setting(options=options), ManualClock(), random.Random(5), read_only=read_only)


def build(root: Path) -> None:
    """Cold and hot segments with sketches, a graph, deaths in both, a snapshot, sealed and open logs."""
    db = opened(root)
    words = db.create_collection(
        "words",
        dim=DIM,
        metric="l2",
        id_type="string",
        columns={"rank": "int64", "pos": "string", "text": "string"},
        stored=["text"],
    )
    for step in range(3):
        numbers = range(150 * step, 150 * (step + 1))
        words.upsert(
            ids=[f"w{n}" for n in numbers],
            vectors=vectors(150, step),
            columns={"rank": list(numbers), "pos": ["even" if n % 2 == 0 else None for n in numbers], "text": "long"},
        )
        db.flush()
    db.demote("words", 0.4)
    db.maintain()
    db.snapshot("kept")
    words.delete(ids=[f"w{n}" for n in range(0, 450, 40)])
    db.flush()
    db.maintain()
    words.search(vectors(1, 78), k=5)  # fills the cache
    words.upsert(ids=["w7", "late"], vectors=vectors(2, 9), columns={"rank": [7, 1000]})
    words.delete(ids=["w8", "w440"])
    db.close()


def answers(root: Path, *, read_only: bool = False) -> dict[str, Any]:
    """Everything that the database says. The order of rows aside, equal databases give equal answers."""
    with opened(root, read_only=read_only) as db:
        words = db["words"]
        queries = vectors(2, 77)
        table = words.scan(vectors=True).read_all().to_pylist()
        found = {
            "rows": sorted(table, key=lambda row: row["id"]),
            "get": words.get(["w7", "w8", "w9", "w300", "late"], vectors=True).to_pylist(),
            "count": words.count("rank < ? and pos is not null", [200]),
            "exact": words.search(queries, k=5, exact=True, columns="*").to_pylist(),
            "search": words.search(queries, k=5).to_pylist(),
            "filtered": words.search(queries, k=5, where="rank % 3 = 0").to_pylist(),
            "sketch": words.search(queries, k=5, nprobe=50, rerank=50).to_pylist(),
            "graph": words.search(queries, k=5, ef=60).to_pylist(),
            "snapshots": [(s.name, s.seq) for s in db.snapshots()],
            "log": [(r["seq"], r["operation"]) for r in db.log().to_pylist()],
        }
        with db.at("kept") as past:
            found["past"] = past["words"].search(queries, k=5, exact=True).to_pylist()
            found["past rows"] = past["words"].count()
        if not read_only:
            found["commit"] = words.upsert(ids=["w200"], vectors=vectors(1, 3)).seq
    return found


def checked(root: Path) -> Report:
    """What the checker says; caches are read past, as the command does."""
    local = OsDir(root, sync=False)
    tools = make_tools(replace(OPTIONS, search_threads=1))
    return check(local, SHARD, DirectoryStore(local.sub("cold"), create=False), tools)
