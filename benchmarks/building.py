"""From a bulk load to a finished index, sketch and graph, against building a raw hnswlib index in memory; two threads.

``python -m benchmarks.building``
"""

from __future__ import annotations

from typing import Any

import tiervdb
from benchmarks.sides import hnsw, tier
from benchmarks.tables import Table, met, publish
from benchmarks.timing import seconds
from benchmarks.words import words
from benchmarks.workplace import scratch
from tiervdb.config import Options

TARGET = 1.3
ROUNDS = 2


def measure() -> Table:
    hnsw_times, loads, finished, parts = [], [], [], []
    for _ in range(ROUNDS):
        hnsw_times.append(seconds(lambda: hnsw.index_of(words().vectors)))
        loaded, done = _load(Options())
        loads.append(loaded)
        finished.append(done)
        parts.append(_load(tier.BY_HAND)[1])
    base = min(hnsw_times)
    table = Table(
        "Building the hot index from a bulk load, two threads", ("contestant", "time, raw hnswlib = 1", "target", "")
    )
    table.add("raw hnswlib", 1.0)
    table.add("tiervdb, rows acknowledged (durable and searchable)", min(loads) / base)
    table.add("tiervdb, index finished", min(finished) / base, f"<= {TARGET}", met(min(finished) / base <= TARGET))
    table.add("tiervdb, index finished, flushed once at the end", min(parts) / base)
    return table


def _load(options: Options) -> tuple[float, float]:
    """Seconds until every row is acknowledged, and until nothing is left to be built."""
    data = tier.table(words())
    with tiervdb.open(scratch("building"), options=options) as db:
        collection = tier.create(db, words())
        loaded = seconds(lambda: collection.ingest(data, id="word", vector="vector"))
        finished = loaded + seconds(lambda: _finish(db))
        _check(db)
    return loaded, finished


def _finish(db: Any) -> None:
    db.flush()
    db.maintain()


def _check(db: Any) -> None:
    stats = db.stats().collections[0]
    print(f"  {stats.hot_segments} segments, {stats.sketches} sketches, {stats.graphs} graphs", flush=True)
    if not stats.graphs or stats.rows != len(words().ids):
        raise AssertionError("the index is not finished")


if __name__ == "__main__":
    publish("building", [measure()])
