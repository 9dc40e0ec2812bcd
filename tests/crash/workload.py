"""What is done while the machine stops: phases, each with what comes before it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from tests.model.bench import SMALL, Bench
from tests.model.model import Id, Row, rank_below
from tiervdb.config import Options

INDEXED = replace(SMALL, small_floats=200, graph_min_rows=100, flush_floats=10**6)


@dataclass(frozen=True)
class Phase:
    """``work`` is stopped at every step; ``setup`` is not. Both open the database first and close it at their end.

    Without ``setup`` the work begins with creating the database.
    """

    work: Callable[[Bench], None]
    setup: Callable[[Bench], None] | None = None
    options: Options = SMALL

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
    Phase(drops_what_is_cold, half_cold),
    Phase(snapshots, with_snapshots),
    Phase(clones, with_snapshots),
]
