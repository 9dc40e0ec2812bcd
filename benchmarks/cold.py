"""Cold search: vectors in a bucket 30 ms away, beside LanceDB's IVF_PQ and infino on the same server.

``python -m benchmarks.cold``. Each figure of a first query is that of a process of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import tiervdb
from benchmarks import s3_server, truth
from benchmarks.memory import allocated
from benchmarks.s3_server import BUCKET, Server
from benchmarks.sides import tier
from benchmarks.tables import Table, met, publish
from benchmarks.timing import one_core, seconds, side_by_side
from benchmarks.words import Words, words
from benchmarks.workplace import scratch

K = 10
JUDGED = 500  # queries whose recall is measured
LATER = 60  # queries that were never asked before
DELAY_MS = 30.0
PAUSE = 1.0  # seconds from opening to the first query, in which connections are prepared
LANCE = (60, 10)  # nprobes, refine factor: the least that reach recall 0.95 on the words
LANCE_LOCAL = (80, 20)  # and 0.97

Search = Callable[[np.ndarray], Sequence[Any]]


# -- what is measured, each in a process of its own


def measured(part: str, server: Server, folder: Path) -> dict[str, Any]:
    """Runs a part in a fresh process and returns what it printed."""
    command = [sys.executable, "-m", "benchmarks.cold", part, server.direct, server.delayed, str(folder)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env={**os.environ, "PYTHONWARNINGS": "ignore"})
    found: dict[str, Any] = json.loads(done.stdout.decode().splitlines()[-1])
    return found


def ours(server: Server, folder: Path) -> dict[str, Any]:
    """First and later queries behind the delay, memory, then recall without the delay."""
    words()
    tiervdb.open(folder / "empty", cold=tiervdb.Store(f"s3://{BUCKET}/empty", server.options(True))).close()
    before = allocated()  # with the libraries loaded, but without a request
    opening, db = _timed(lambda: _opened(server, folder, delayed=True))
    time.sleep(PAUSE)
    found = _first_and_later(server, _ids(db["words"]))
    server.delay(0)
    for query in words().queries[:JUDGED]:
        db["words"].search(query, K)
    found["resident"] = allocated() - before
    found["recall"] = _recall(_ids(db["words"]))
    server.delay(DELAY_MS)
    db.close()
    return found | {"opening": opening}


def ours_bare(server: Server, folder: Path) -> dict[str, Any]:
    """The first query where sketches and cache were deleted."""
    for name in ("sketches", "cache"):
        shutil.rmtree(folder / "db" / name, ignore_errors=True)
    db = _opened(server, folder, delayed=True)
    time.sleep(PAUSE)
    found = _first_and_later(server, _ids(db["words"]))
    db.close()
    return found


def theirs(server: Server, _: Path) -> dict[str, Any]:
    """LanceDB: the same."""
    from benchmarks.sides import lance

    table = lance.connect_s3(BUCKET, server.delayed, s3_server.KEY, s3_server.SECRET)
    time.sleep(PAUSE)
    found = _first_and_later(server, lance.pq_searcher(table, *LANCE))
    server.delay(0)
    found["recall"] = _recall(lance.pq_searcher(table, *LANCE))
    server.delay(DELAY_MS)
    return found


def infino(server: Server, folder: Path) -> dict[str, Any]:
    """infino, with an empty disk cache: the same."""
    from benchmarks.sides import infino as side

    shutil.rmtree(folder / "infino", ignore_errors=True)
    connection = side.connect(BUCKET, server.delayed, s3_server.KEY, s3_server.SECRET, folder / "infino")
    search = side.searcher(words(), connection)
    time.sleep(PAUSE)
    found = _first_and_later(server, search)
    server.delay(0)
    found["recall"] = _recall(search)
    server.delay(DELAY_MS)
    return found


def build_infino(server: Server, folder: Path) -> dict[str, Any]:
    """Loads the words, without the delay."""
    from benchmarks.sides import infino as side

    connection = side.connect(BUCKET, server.direct, s3_server.KEY, s3_server.SECRET, folder / "infino")
    return {"seconds": seconds(lambda: side.build(words(), connection))}


def cached(server: Server, folder: Path) -> dict[str, Any]:
    """Both with everything on local disk or in the cache, one after the other on one core."""
    from benchmarks.sides import lance

    one_core()
    theirs = lance.pq_searcher(lance.table(lance.build_pq(words())), *LANCE_LOCAL)
    with _opened(server, folder, delayed=False) as db:
        contestants = {"tiervdb": _ids(db["words"]), "lancedb": theirs}
        queries = list(words().queries[:200])
        for query in queries:
            db["words"].search(query, K)
        times = side_by_side(contestants, queries, rounds=3)
        recalls = {f"{name} recall": _recall(search) for name, search in contestants.items()}
    return {name: timing.cpu for name, timing in times.items()} | recalls


def _first_and_later(server: Server, search: Search) -> dict[str, Any]:
    queries = words().queries[1_000 : 1_001 + LATER]
    server.reset()
    first, _ = _timed(lambda: search(queries[0]))
    counted = server.counted()
    later = []
    server.reset()
    for query in queries[1:]:
        later.append(_timed(lambda query=query: search(query))[0])
    after = server.counted()
    return {
        "first": first,
        "gets": counted["requests"],
        "waves": counted["waves"],
        "bytes": counted["bytes_down"],
        "p50": statistics.median(later),
        "later_gets": after["requests"] / LATER,
        "later_bytes": after["bytes_down"] / LATER,
    }


def _recall(search: Search) -> float:
    data = words()
    queries = data.queries[:JUDGED]
    rows = {word: row for row, word in enumerate(data.ids)}
    limit = truth.limits("cosine", data.vectors, queries, K)
    found = [np.array([rows[word] for word in search(query)], np.int64) for query in queries]
    return truth.recall("cosine", data.vectors, queries, found, limit, K)


def _ids(collection: Any) -> Search:
    return lambda query: collection.search(query, K).ids


def _each(search: Search, queries: np.ndarray) -> float:
    return seconds(lambda: [search(query) for query in queries]) / len(queries)


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    answer = work()
    return time.perf_counter() - started, answer


# -- what is built before


def _opened(server: Server, folder: Path, *, delayed: bool) -> Any:
    store = tiervdb.Store(f"s3://{BUCKET}/words", server.options(delayed))
    return tiervdb.open(folder / "db", cold=store, options=tier.BY_HAND)


def load(server: Server, folder: Path, data: Words) -> dict[str, float]:
    """Loads the words, demotes them all, and says how fast the demotion was."""
    with _opened(server, folder, delayed=False) as db:
        collection = tier.create(db, data)
        loading = seconds(lambda: collection.ingest(tier.table(data), id="word", vector="vector"))
        db.flush()
        demoting = seconds(lambda: db.demote("words"))
        db.maintain()
    return {"loading": loading, "demoting": demoting}


def compare() -> list[Table]:
    """All of it on one server."""
    folder = scratch("cold")
    with s3_server.running(folder / "server", DELAY_MS) as server:
        from benchmarks.sides import lance

        loaded = load(server, folder, words())
        lance.build_s3(words(), BUCKET, server.direct, s3_server.KEY, s3_server.SECRET)
        lance.build_pq(words())
        built = measured("build_infino", server, folder)
        we, bare, they, third = (measured(part, server, folder) for part in ("ours", "ours_bare", "theirs", "infino"))
        local = measured("cached", server, folder)
    return [_table(we, bare, they, local, loaded), _others(they, third, built)]


def _table(
    we: dict[str, Any], bare: dict[str, Any], they: dict[str, Any], local: dict[str, Any], loaded: dict[str, float]
) -> Table:
    data = words()
    table = Table(f"Cold search, {DELAY_MS:.0f} ms to the store", ("what", "tiervdb", "LanceDB IVF_PQ", "target", ""))
    first = they["first"] / we["first"]
    table.add("recall@10", we["recall"], they["recall"], ">= 0.97", met(we["recall"] >= 0.97))
    table.add("first query, GETs", we["gets"], they["gets"], "<= 40", met(we["gets"] <= 40))
    table.add("first query, waves", we["waves"], they["waves"], "1", met(we["waves"] <= 1))
    table.add("first query, s", we["first"], they["first"], ">= 15 times faster", f"{first:.1f}: {met(first >= 15)}")
    later = they["p50"] / we["p50"]
    table.add("later queries, p50 s", we["p50"], they["p50"], ">= 3 times faster", f"{later:.1f}: {met(later >= 3)}")
    table.add("later queries, GETs", we["later_gets"], they["later_gets"], "", "")
    table.add("nothing local, first query, waves", bare["waves"], "", "<= 4", met(bare["waves"] <= 4))
    table.add("nothing local, first query, MB", bare["bytes"] / 1e6, "", "<= 5", met(bare["bytes"] <= 5e6))
    table.add("nothing local, first query, s", bare["first"], "", "", "")
    faster = local["lancedb"] / local["tiervdb"]
    what = "all cached, ms of processor time a query"
    table.add(
        what, 1e3 * local["tiervdb"], 1e3 * local["lancedb"], ">= 10 times faster", f"{faster:.1f}: {met(faster >= 10)}"
    )
    rate = len(data.ids) / loaded["demoting"]
    table.add("demotion, vectors/s", rate, "", ">= 60,000", met(rate >= 60_000))
    share = we["resident"] / data.vectors.nbytes
    table.add("resident memory / vectors", share, "", "<= 0.2", met(share <= 0.2))
    table.notes.append(
        f"LanceDB: {LANCE[0]} probes, refine {LANCE[1]}; cached, on local disk, {LANCE_LOCAL[0]} and {LANCE_LOCAL[1]}, "
        f"recall {local['lancedb recall']:.3f} and {local['tiervdb recall']:.3f}. Opening took {we['opening']:.2f} s."
    )
    return table


def _others(lance: dict[str, Any], infino: dict[str, Any], built: dict[str, Any]) -> Table:
    table = Table("Others, 30 ms to the store", ("what", "LanceDB IVF_PQ", "infino 0.11"))
    names = {
        "recall": "recall@10",
        "gets": "first query, GETs",
        "waves": "first query, waves",
        "first": "first query, s",
        "p50": "later queries, p50 s",
        "later_gets": "later queries, GETs",
        "later_bytes": "later queries, bytes",
    }
    for name, title in names.items():
        table.add(title, lance[name], infino[name])
    table.notes.append(
        f"infino took {built['seconds']:.0f} s to load and optimize; it has no setting to choose recall."
    )
    return table


def main(arguments: Sequence[str]) -> None:
    if arguments:
        part, direct, delayed, folder = arguments
        parts = {
            "ours": ours,
            "ours_bare": ours_bare,
            "theirs": theirs,
            "infino": infino,
            "build_infino": build_infino,
            "cached": cached,
        }
        print(json.dumps(parts[part](Server(direct, delayed), Path(folder))))
        return
    publish("cold", compare())


if __name__ == "__main__":
    main(sys.argv[1:])
