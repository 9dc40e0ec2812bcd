"""Recall of default parameters on data that nobody tuned for: at least 0.96, single queries and batches alike.

``python -m benchmarks.untuned`` (``kinds`` or ``dims`` alone)
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

import tiervdb
from benchmarks import truth
from benchmarks.synthetic import FEW_ROWS, DataSet, dims, kinds
from benchmarks.tables import Table, met, publish
from benchmarks.timing import seconds
from benchmarks.workplace import scratch
from tiervdb.config import Options

K = 10
TARGET = 0.96
SINGLE = 50  # queries that are also searched one by one
HEADER = (
    "data", "metric", "rows x dim", "recall@10, default", "searched by", "by graph, ef=256", "build: s", "target", "",
)  # fmt: skip


def measure(title: str, sets: Iterable[DataSet]) -> Table:
    table = Table(title, HEADER)
    for data in sets:
        _one(data, table)
    return table


def _one(data: DataSet, table: Table) -> None:
    graph_from = min(50_000, FEW_ROWS, len(data.vectors))
    options = Options(flush_floats=10**10, background=False, graph_min_rows=graph_from)
    with tiervdb.open(scratch("untuned"), options=options) as db:
        rows, dim = data.vectors.shape
        collection = db.create_collection("data", dim=dim, metric=data.metric, id_type="int64")
        taken = seconds(lambda: _load(db, collection, data))
        limits = truth.limits(data.metric, data.vectors, data.queries, K)
        together = collection.search(data.queries, K, explain=True)
        alone = [collection.search(query, K) for query in data.queries[:SINGLE]]
        batch = truth.recall(data.metric, data.vectors, data.queries, list(together.ids), limits, K)
        one = truth.recall(data.metric, data.vectors, data.queries[:SINGLE], [h.ids for h in alone], limits[:SINGLE], K)
        by_graph = _by_graph(collection, data, limits)
    reached = min(batch, one) if abs(batch - one) > 0.02 else batch
    how = together.explanation.split(": ", 1)[1].split("\n")[0]
    shape = f"{rows:,} x {dim:,}"
    table.add(data.name, data.metric, shape, reached, how, by_graph, taken, f">= {TARGET}", met(reached >= TARGET))


def _load(db: Any, collection: Any, data: DataSet) -> None:
    collection.ingest(data.vectors)
    db.flush()
    db.maintain()


def _by_graph(collection: Any, data: DataSet, limits: np.ndarray) -> float:
    found = list(collection.search(data.queries, K, ef=256).ids)
    return truth.recall(data.metric, data.vectors, data.queries, found, limits, K)


def main(arguments: Sequence[str]) -> None:
    if "dims" not in arguments:
        publish("untuned_kinds", [measure("Default parameters, kinds of data", kinds())])
    if "kinds" not in arguments:
        publish("untuned_dims", [measure("Default parameters, 2 to 4,096 dimensions", dims())])


if __name__ == "__main__":
    main(sys.argv[1:])
