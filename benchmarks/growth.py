"""How a cold search grows with the rows: 50,000 words, all 339,479, and a million rows, synthetic beyond the words.

``python -m benchmarks.growth [plot | SIZE...]``. SeaweedFS behind the delay of 30 ms, sketches local, nothing cached.
Each first query is that of a process of its own. ``plot`` draws the figures of the last run again; sizes are measured
anew.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

import tiervdb
from benchmarks import growth_plot, s3_server, truth
from benchmarks.memory import allocated
from benchmarks.s3_server import BUCKET, Server
from benchmarks.sides import tier
from benchmarks.tables import Table, publish
from benchmarks.words import DIM, words
from benchmarks.workplace import home, scratch

K = 10
DELAY_MS = 30.0
SIZES = (50_000, 339_479, 1_000_000)
PROCESSES = 3  # first queries a size, each of a fresh process without cache
LATER = 60  # queries that were never asked before, in each process
MORE = 500  # further ones, without the delay, after which memory is looked at
PAUSE = 1.0  # seconds from opening to the first query, in which connections are prepared
NOISE = 0.5  # of a synthetic row, in standard deviations of the words
PLOT = Path(__file__).parent.parent / "docs" / "images" / "cold-growth.svg"


def rows(count: int) -> np.ndarray:
    """Words evenly over all; beyond them, words with noise."""
    data = words().vectors
    if count <= len(data):
        return data[np.arange(count) * len(data) // count]
    rng = np.random.default_rng(5)
    more = data[rng.integers(0, len(data), count - len(data))]
    noise = rng.standard_normal(more.shape, np.float32) * (NOISE * data.std(axis=0))
    return np.concatenate([data, more + noise])


def load(server: Server, folder: Path, count: int) -> int:
    """All rows into the cold store; returns the number of segments."""
    vectors = rows(count)
    with _opened(server, folder, count, delayed=False) as db:
        collection = db.create_collection("words", dim=DIM, id_type="int64")
        flat = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), DIM)
        collection.ingest(pa.table({"id": np.arange(count), "vector": flat}), id="id", vector="vector")
        db.flush()
        db.demote("words")
        segments: int = db.stats().collections[0].cold_segments
    return segments


def measure(server: Server, folder: Path, count: int, process: int) -> dict[str, Any]:
    """Of one process: the first query, later ones, and memory."""
    shutil.rmtree(folder / str(count) / "cache", ignore_errors=True)
    queries = words().queries[process * (1 + LATER) :]
    tiervdb.open(folder / "empty", cold=tiervdb.Store(f"s3://{BUCKET}/empty", server.options(True))).close()
    before = allocated()  # with the libraries loaded, but without a request
    with _opened(server, folder, count, delayed=True) as db:
        time.sleep(PAUSE)
        found: dict[str, Any] = {"opened_bytes": allocated() - before}
        found["first"] = _asked(server, db["words"], queries[:1])
        found["later"] = _asked(server, db["words"], queries[1 : 1 + LATER])
        server.delay(0)
        for query in words().queries[-MORE:]:
            db["words"].search(query, K)
        found["bytes"] = allocated() - before
        if process == 0:
            found["recall"] = _recall(db["words"], count)
        server.delay(DELAY_MS)
    return found


def _asked(server: Server, collection: Any, queries: np.ndarray) -> dict[str, Any]:
    """Seconds and waves of each query, and what all of them asked of the store."""
    server.reset()
    taken, waves = [], []
    for query in queries:
        started = time.perf_counter()
        hits = collection.search(query, K)
        taken.append(time.perf_counter() - started)
        waves.append(hits.stats.waves)
    counted = server.counted()
    each = 1 / len(queries)
    return {
        "seconds": taken,
        "waves": waves,
        "gets": counted["requests"] * each,
        "bytes": counted["bytes_down"] * each,
    }


def _recall(collection: Any, count: int) -> float:
    queries = words().queries[-MORE:]
    vectors = rows(count)
    limit = truth.limits("cosine", vectors, queries, K)
    return truth.recall("cosine", vectors, queries, [collection.search(q, K).ids for q in queries], limit, K)


def _opened(server: Server, folder: Path, count: int, *, delayed: bool) -> Any:
    store = tiervdb.Store(f"s3://{BUCKET}/growth-{count}", server.options(delayed))
    return tiervdb.open(folder / str(count), cold=store, options=tier.BY_HAND)


# -- what comes of it


def run(sizes: Sequence[int]) -> dict[int, dict[str, float]]:
    """The figures of each size."""
    folder = scratch("growth")
    found = {}
    with s3_server.running(folder / "server", DELAY_MS) as server:
        for count in sizes:
            segments = int(_process("load", server, folder, count, 0)["segments"])
            parts = [_process("measure", server, folder, count, process) for process in range(PROCESSES)]
            found[count] = {**_summary(parts), "segments": segments}
            print(f"  {count:,} rows: {found[count]}", flush=True)
    shutil.rmtree(folder)
    return found


def _process(part: str, server: Server, folder: Path, count: int, process: int) -> dict[str, Any]:
    given = [part, server.direct, server.delayed, str(folder), str(count), str(process)]
    command = [sys.executable, "-m", "benchmarks.growth", *given]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env={**os.environ, "PYTHONWARNINGS": "ignore"})
    found: dict[str, Any] = json.loads(done.stdout.decode().splitlines()[-1])
    return found


def _summary(parts: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Medians of all queries of a kind; of requests and bytes, which are counted by process, that of the means."""
    found: dict[str, float] = {"recall": parts[0]["recall"]}
    for kind in ("first", "later"):
        asked = [part[kind] for part in parts]
        found[f"{kind}_ms"] = 1e3 * statistics.median(s for one in asked for s in one["seconds"])
        found[f"{kind}_waves"] = statistics.median(w for one in asked for w in one["waves"])
        found[f"{kind}_gets"] = statistics.median(one["gets"] for one in asked)
        found[f"{kind}_kb"] = statistics.median(one["bytes"] for one in asked) / 1e3
    for name in ("opened_bytes", "bytes"):
        found[name] = statistics.median(part[name] for part in parts)
    return found


def tables(found: dict[int, dict[str, float]]) -> list[Table]:
    """What the documentation shows."""
    asked = Table(
        "Growth of a cold search, 30 ms to the store",
        ("rows", "segments", "recall@10", "first query: ms", "GETs", "waves", "KB", "later: ms", "GETs", "waves", "KB"),
    )
    memory = Table(
        "Memory allocated by a cold database",
        ("rows", "opened, MB", "after 561 queries, MB", "/ bytes of the vectors", "of it fixed, MB", "bytes a row"),
    )
    fixed, each = _line([(count, one["bytes"]) for count, one in found.items()])
    for count, one in found.items():
        cells = [one[f"{kind}_{what}"] for kind in ("first", "later") for what in ("ms", "gets", "waves", "kb")]
        asked.add(f"{count:,}", int(one["segments"]), one["recall"], *(f"{cell:.3g}" for cell in cells))
        share = one["bytes"] / (count * DIM * 4)
        megabytes = (f"{one[name] / 1e6:.1f}" for name in ("opened_bytes", "bytes"))
        memory.add(f"{count:,}", *megabytes, share, f"{fixed / 1e6:.1f}", f"{each:.0f}")
    return [asked, memory]


def _line(points: Sequence[tuple[int, float]]) -> tuple[float, float]:
    """What is there without rows, and what a row adds: least squares."""
    each, fixed = np.polyfit(*zip(*points, strict=True), 1)
    return float(fixed), float(each)


def main(arguments: Sequence[str]) -> None:
    kept = home() / "results" / "growth-figures.json"
    if arguments and arguments[0] in {"load", "measure"}:
        part, direct, delayed, folder, count, process = arguments
        server = Server(direct, delayed)
        if part == "load":
            print(json.dumps({"segments": load(server, Path(folder), int(count))}))
        else:
            print(json.dumps(measure(server, Path(folder), int(count), int(process))))
        return
    if list(arguments) != ["plot"]:
        figures = json.loads(kept.read_text(encoding="utf-8")) if arguments else {}
        figures |= {str(count): one for count, one in run([int(a) for a in arguments] or SIZES).items()}
        kept.parent.mkdir(exist_ok=True)
        kept.write_text(json.dumps(figures, indent=1), encoding="utf-8")
    found = {int(count): one for count, one in json.loads(kept.read_text(encoding="utf-8")).items()}
    publish("growth", tables(found))
    PLOT.parent.mkdir(exist_ok=True)
    PLOT.write_text(growth_plot.draw(found), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
