"""What is done while the machine stops: phases, each with what comes before it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from unittest.mock import patch

from tests.model.bench import SMALL, Bench
from tests.model.model import Id, Row, rank_below
from tiervdb.config import Options, TierPolicy
from tiervdb.database import ingest
from tiervdb.engine import tier_load

INDEXED = replace(SMALL, small_floats=200, graph_min_rows=100, flush_floats=10**6)


@dataclass(frozen=True)
class Phase:
    """``work`` is stopped at every step; ``setup`` is not. Both open the database first and close it at their end.

    Without ``setup`` the work begins with creating the database.
    """

    work: Callable[[Bench], None]
    setup: Callable[[Bench], None] | None = None
    options: Options = SMALL
    again: Callable[[Bench], None] | None = None  # how the work is gone on with after a crash

    @property
    def name(self) -> str:
        return self.work.__name__


def rows(numbers: Iterable[int], change: int = 0, *, text: bool = False) -> dict[Id, Row]:
    """Different vectors for each ``change``, so that versions are told apart."""
    return {
        (f"id {n}" if text else n): Row(
            (float(n), float(change), 1.0), {"rank": n, "pos": f"p{change}"} if n % 3 else {}
        )
        for n in numbers
    }


LOADED = rows(range(5, 45), 6)


def two_collections(bench: Bench) -> None:
    bench.create("words", 3, "l2", "int64", {"rank": "int64", "pos": "string"})
    bench.create("texts", 3, "cosine", "string", {"rank": "int64", "pos": "string"})


def some_rows(bench: Bench) -> None:
    two_collections(bench)
    bench.upsert("words", rows(range(12)))
    bench.upsert("texts", rows(range(5), text=True))


def flushed(bench: Bench) -> None:
    some_rows(bench)
    bench.db.flush()
    bench.upsert("words", rows(range(8, 16), 1))
    bench.db.flush()
    bench.delete("words", [2, 9])
    bench.upsert("words", rows([3, 30], 2))


def many_segments(bench: Bench) -> None:
    two_collections(bench)
    for n in range(5):
        bench.upsert("words", rows(range(4 * n, 4 * n + 6), n))
        bench.upsert("texts", rows(range(n, n + 2), n, text=True))
        bench.db.flush()
    bench.delete("words", [0, 7])


def half_cold(bench: Bench) -> None:
    flushed(bench)
    bench.db.demote("words", 0.5)
    bench.upsert("words", rows([1, 31], 3))
    bench.delete("words", [4])


def with_snapshots(bench: Bench) -> None:
    half_cold(bench)
    bench.snapshot("first")
    bench.delete("words", [5, 6])
    bench.upsert("texts", rows(range(3), 5, text=True))


def many_rows(bench: Bench) -> None:
    two_collections(bench)
    bench.upsert("words", rows(range(150)))
    bench.db.flush()
    bench.upsert("words", rows(range(140, 160), 1))


def creates(bench: Bench) -> None:
    two_collections(bench)
    bench.upsert("words", rows(range(4)))


def commits(bench: Bench) -> None:
    bench.upsert("words", rows(range(10, 14), 6))
    bench.update("words", [3, 11, 99], {"pos": "new"})
    bench.batch({"words": rows([40, 41], 7), "texts": rows([1, 8], 7, text=True)}, {"words": [1], "texts": ["id 0"]})
    bench.delete_where("words", rank_below(6))
    bench.add_column("words", "lang", "string")
    bench.update("words", [40], {"lang": "en"})
    bench.drop_column("words", "pos")
    bench.drop("texts")
    bench.create("texts", 2, "ip", "int64", {})


def flushes(bench: Bench) -> None:
    bench.db.flush()
    bench.upsert("words", rows(range(5, 9), 8))
    bench.drop_column("words", "pos")
    bench.db.flush()
    bench.drop("texts")
    bench.db.flush()


def merges_and_collects_garbage(bench: Bench) -> None:
    bench.db.maintain()
    bench.delete("words", [1, 2, 3, 4, 5, 6])
    bench.db.maintain()


def builds_indexes(bench: Bench) -> None:
    bench.db.flush()
    bench.db.maintain()


def demotes_and_promotes(bench: Bench) -> None:
    bench.db.demote("words", 0.7)
    bench.delete_where("words", rank_below(4))
    bench.upsert("words", rows([12, 33], 9))
    bench.db.demote("words")
    bench.db.maintain()
    bench.db.promote("words")
    bench.db.maintain()


def merges_cold_segments(bench: Bench) -> None:
    for n in range(2):
        bench.upsert("words", rows(range(60 + 5 * n, 65 + 5 * n), n))
        bench.db.demote("words")
    bench.delete("words", [10, 11, 61])
    bench.db.maintain()


def moves_by_a_policy(bench: Bench) -> None:
    bench.upsert("words", rows(range(60, 75), 4))
    bench.db.maintain()
    bench.upsert("words", rows(range(70, 80), 5))
    bench.db.maintain()


def loads_to_the_cold_tier(bench: Bench) -> None:
    """Two cold segments, the second of them smaller; an overlap with rows that are there."""
    with patch.object(ingest, "COMMIT_ROWS", 8), patch.object(tier_load, "LOAD_ROWS", 24):
        bench.ingest("words", LOADED, 8, tier="cold", resume="load")


def loads_the_rest(bench: Bench) -> None:
    if "words" not in bench.model.collections:
        return
    with patch.object(ingest, "COMMIT_ROWS", 8), patch.object(tier_load, "LOAD_ROWS", 24):
        bench.ingest_again("words", LOADED, tier="cold", resume="load")
    bench.verify()


def drops_what_is_cold(bench: Bench) -> None:
    bench.drop("words")
    bench.db.flush()
    bench.db.maintain()


def snapshots(bench: Bench) -> None:
    bench.snapshot("second")
    bench.db.flush()
    bench.db.promote("words")
    bench.db.maintain()
    bench.look_back("first")
    bench.look_back("second")
    bench.drop_snapshot("first")
    bench.db.maintain()
    bench.look_back("second")


def clones(bench: Bench) -> None:
    bench.clone("copy", at="first")
    bench.upsert("words", rows([50], 9))
    bench.clone("other")


PHASES = [
    Phase(creates),
    Phase(commits, some_rows),
    Phase(flushes, flushed),
    Phase(merges_and_collects_garbage, many_segments),
    Phase(builds_indexes, many_rows, INDEXED),
    Phase(demotes_and_promotes, half_cold),
    Phase(merges_cold_segments, half_cold),
    Phase(moves_by_a_policy, flushed, replace(SMALL, tiering=TierPolicy(hot_max_rows=12))),
    Phase(loads_to_the_cold_tier, flushed, again=loads_the_rest),
    Phase(drops_what_is_cold, half_cold),
    Phase(snapshots, with_snapshots),
    Phase(clones, with_snapshots),
]
