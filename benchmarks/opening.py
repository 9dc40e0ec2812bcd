"""Opening a database of all words, and the memory it needs, against raw hnswlib. ``python -m benchmarks.opening``

Every measurement is a process of its own. Memory is what /proc/self/smaps_rollup calls anonymous: the page cache behind
mapped files is the operating system's to take back, and is not counted.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks import prepare
from benchmarks.tables import Table, met, publish
from benchmarks.timing import seconds
from benchmarks.words import DIM, words
from benchmarks.workplace import home

ROUNDS = 5
QUERIES = 500
TARGET_SECONDS = 1.0
TARGET_MEMORY = 1.4

Result = dict[str, float]


def anonymous_mib() -> float:
    """Anonymous memory of this process, MiB."""
    for line in Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines():
        if line.startswith("Anonymous:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("/proc/self/smaps_rollup does not tell; this benchmark needs Linux")


def _hnswlib() -> Result:
    from benchmarks.sides import hnsw

    queries = _queries()
    before = anonymous_mib()
    index = hnsw.load(home() / "hnswlib-words", DIM)
    index.set_ef(256)
    for query in queries:
        index.knn_query(query, k=10, num_threads=1)
    return {"whole": anonymous_mib(), "added": anonymous_mib() - before}


def _tiervdb(search: str) -> Result:
    from benchmarks.sides import tier

    queries = _queries()
    before = anonymous_mib()
    result: Result = {}
    opened = []
    result["open"] = seconds(lambda: opened.append(tier.open_words(home() / "tiervdb-words-1")))
    collection = opened[0]["words"]
    how = {"ef": 256} if search == "graph" else {}
    result["first"] = seconds(lambda: collection.search(queries[0], 10, **how))
    for query in queries:
        collection.search(query, 10, **how)
    if search == "filters":
        for low in range(0, 500, 10):
            collection.search(queries[0], 10, where="bucket >= ? AND bucket < ?", params=[low, low + 100])
    result |= {"whole": anonymous_mib(), "added": anonymous_mib() - before}
    return result


def _queries() -> np.ndarray:
    """Made without loading the words, whose memory would count."""
    return np.random.default_rng(1).standard_normal((QUERIES, DIM), np.float32)


KINDS: dict[str, Callable[[], Result]] = {
    "hnswlib": _hnswlib,
    "default": lambda: _tiervdb("default"),
    "graph": lambda: _tiervdb("graph"),
    "filters": lambda: _tiervdb("filters"),
}


def _in_a_process(kind: str) -> Result:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.opening", kind], check=True, capture_output=True, text=True
    )
    result: Result = json.loads(done.stdout)
    return result


def measure() -> list[Table]:
    runs = {kind: [_in_a_process(kind) for _ in range(ROUNDS)] for kind in KINDS}
    middle = {kind: {key: median(run[key] for run in results) for key in results[0]} for kind, results in runs.items()}
    rows = f"{len(words().ids):,} rows"
    times = Table(f"Opening a database of {rows}", ("what", "seconds", "target", ""))
    opened = middle["default"]["open"]
    times.add("open", opened, f"< {TARGET_SECONDS:.0f}", met(opened < TARGET_SECONDS))
    times.add("first search after it (loads the sketch)", middle["default"]["first"])
    times.add("first search through the graph (loads and checks it)", middle["graph"]["first"])
    memory = Table(
        f"Anonymous memory after {QUERIES} searches, {rows}",
        ("contestant", "whole process, raw hnswlib's = 1", "beyond the imports, raw hnswlib's = 1", "target", ""),
    )
    base = middle["hnswlib"]
    names = {
        "default": "tiervdb, default",
        "graph": "tiervdb, graph used",
        "filters": "tiervdb, default, 50 filters seen",
    }
    memory.add("raw hnswlib", 1.0, 1.0)
    for kind, name in names.items():
        whole, added = middle[kind]["whole"] / base["whole"], middle[kind]["added"] / base["added"]
        memory.add(name, whole, added, f"<= {TARGET_MEMORY}", met(whole <= TARGET_MEMORY))
    return [times, memory]


def main(arguments: Sequence[str]) -> None:
    if arguments:
        print(json.dumps(KINDS[arguments[0]]()))
        return
    prepare.ensure("tiervdb", "hnswlib")
    publish("opening", measure())


if __name__ == "__main__":
    main(sys.argv[1:])
