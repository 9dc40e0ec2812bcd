"""Durable commits: batches of 1,000 vectors, and single rows on one to sixteen threads against LanceDB's ``add``.

``python -m benchmarks.commits``
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

import lancedb
import numpy as np
import pyarrow as pa

import tiervdb
from benchmarks.sides import tier
from benchmarks.tables import Table, met, publish
from benchmarks.timing import seconds
from benchmarks.workplace import scratch
from tiervdb.config import Options

DIM = 100
BATCH = 1_000
BATCHES = 100
ROUNDS = 3
SINGLE = 1_000  # single-row commits, by all threads together; LanceDB makes as many
THREADS = (1, 2, 4, 8, 16)
TARGET = 100_000
TIMES_LANCE = 10.0


def batches() -> Table:
    """Vectors a second, acknowledged with the default durability (fsync)."""
    table = Table(
        f"Durable batches of {BATCH:,} vectors of dim {DIM}",
        ("how", "vectors a second", "target", ""),
    )
    vectors = np.random.default_rng(1).standard_normal((BATCH * BATCHES, DIM), np.float32)
    text = np.array([f"word-{n}" for n in range(len(vectors))])
    cases = (
        ("int64 ids, before indexing", tier.BY_HAND, np.arange(len(vectors)), True),
        ("string ids, before indexing", tier.BY_HAND, text, True),
        ("int64 ids, flushes and merges going on", Options(), np.arange(len(vectors)), False),
    )
    best = {name: 0.0 for name, *_ in cases}
    for _ in range(ROUNDS):
        for name, options, ids, _ in cases:
            best[name] = max(best[name], _batch_rate(options, ids, vectors))
    for name, _, _, counts in cases:
        table.add(name, best[name], f">= {TARGET:,}" if counts else "", met(best[name] >= TARGET) if counts else "")
    return table


def _batch_rate(options: Options, ids: np.ndarray, vectors: np.ndarray) -> float:
    id_type = "int64" if ids.dtype.kind == "i" else "string"
    with tiervdb.open(scratch("batches"), options=options) as db:
        collection = db.create_collection("rows", dim=DIM, id_type=id_type)
        parts = [slice(n, n + BATCH) for n in range(0, len(ids), BATCH)]

        def write() -> None:
            for part in parts:
                collection.upsert(ids=ids[part], vectors=vectors[part])

        return len(ids) / seconds(write)


def singles() -> Table:
    """Commits of one row each."""
    lance_rate, rates, syncs = 0.0, dict.fromkeys(THREADS, 0.0), 0.0
    for _ in range(ROUNDS):
        lance_rate = max(lance_rate, _lance_rate())
        syncs = max(syncs, _sync_rate())
        for threads in THREADS:
            rates[threads] = max(rates[threads], _single_rate(threads))
    table = Table(
        "Single-row durable commits",
        ("contestant", "commits a second, LanceDB add = 1", "bare append and fsync of one file = 1", "target", ""),
    )
    table.add("LanceDB add, one thread", 1.0, lance_rate / syncs)
    before = 0.0
    for threads, rate in rates.items():
        if threads == 1:
            target, ok = f">= {TIMES_LANCE:.0f}", rate / lance_rate >= TIMES_LANCE
        else:
            target, ok = "more than with fewer threads", rate > before
        name = f"tiervdb, {threads} thread{'s' * (threads > 1)}"
        table.add(name, rate / lance_rate, rate / syncs, target, met(ok))
        before = rate
    return table


def _single_rate(threads: int) -> float:
    vectors = np.random.default_rng(2).standard_normal((SINGLE, DIM), np.float32)
    with tiervdb.open(scratch("singles")) as db:
        collection = db.create_collection("rows", dim=DIM, id_type="int64")

        def write(number: int) -> None:
            for at in range(number, SINGLE, threads):
                collection.upsert(ids=[at], vectors=vectors[at : at + 1])

        return SINGLE / seconds(lambda: _on_threads(threads, write))


def _on_threads(count: int, work: Callable[[int], None]) -> None:
    running = [threading.Thread(target=work, args=(n,)) for n in range(count)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()


def _lance_rate() -> float:
    vectors = np.random.default_rng(3).standard_normal((SINGLE, DIM), np.float32)
    fields = pa.schema([("id", pa.int64()), ("vector", pa.list_(pa.float32(), DIM))])
    table: Any = lancedb.connect(scratch("lance-singles")).create_table("rows", schema=fields)

    def write() -> None:
        for number, vector in enumerate(vectors):
            table.add(pa.table({"id": [number], "vector": [vector]}, schema=fields))

    return SINGLE / seconds(write)


def _sync_rate() -> float:
    """What the disk gives: appends of one row, each with its fdatasync."""
    path = scratch("sync")
    data = bytes(DIM * 4 + 300)

    def write() -> None:
        with path.open("wb", buffering=0) as file:
            for _ in range(SINGLE):
                file.write(data)
                os.fdatasync(file.fileno())

    return SINGLE / seconds(write)


if __name__ == "__main__":
    publish("commits", [batches(), singles()])
