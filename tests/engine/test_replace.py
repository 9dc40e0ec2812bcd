"""Writes, flushes, garbage collection and a drop in the middle of a merge, a demotion, a split and a promotion."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.crash.driver import _cold_objects, _needed_objects
from tests.crash.workload import many_segments, rows
from tests.model.bench import Bench
from tests.model.conftest import dead_processes_stay_quiet, one_inode
from tests.model.model import assert_same
from tiervdb.engine import compaction, gc, tiering

__all__ = ["dead_processes_stay_quiet", "one_inode"]  # fixtures
Action = Callable[[], object]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "bench")
    made.start()
    yield made
    made.check(made.local)
    made.end()


def in_the_middle(module: ModuleType, writer: str, action: Action, run: Action) -> None:
    """Does ``run``, and ``action`` when its first new segment is written and its manifest is not."""
    write = getattr(module, writer)
    happened: list[bool] = []

    def then_act(*args: object, **options: object) -> object:
        entry = write(*args, **options)
        if not happened:
            happened.append(True)
            action()
        return entry

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, writer, then_act)
        run()
    assert happened, f"{writer} was not called"


def replace(kind: str, bench: Bench, action: Action) -> None:
    """Replaces segments of "words", and does ``action`` in the middle."""
    match kind:
        case "merge":
            in_the_middle(compaction, "write_hot", action, bench.db.maintain)
        case "demotion":
            in_the_middle(tiering, "write_cold", action, lambda: bench.db.demote("words"))
        case "split":
            in_the_middle(tiering, "write_cold", action, lambda: bench.db.demote("words", 0.5))
        case "promotion":
            bench.db.demote("words", 0.7)
            bench.verify()
            in_the_middle(tiering, "write_hot", action, lambda: bench.db.promote("words"))


@pytest.mark.parametrize("collect", [False, True])
@pytest.mark.parametrize("flushes", [0, 1, 2])
@pytest.mark.parametrize("kind", ["merge", "demotion", "split", "promotion"])
def test_what_is_written_meanwhile_stays(bench: Bench, kind: str, flushes: int, collect: bool) -> None:
    """Rows of the inputs die in the memtable, in a flush that ends meanwhile, and after it."""
    many_segments(bench)

    def meanwhile() -> None:
        bench.upsert("words", rows([3, 8, 50], 5))
        bench.delete("words", [10, 11, 1])
        assert_same(bench.db, bench.model)
        if flushes:
            bench.db.flush()
            assert_same(bench.db, bench.model)
            bench.delete("words", [4, 50])
            bench.upsert("words", rows([5], 7))
        if flushes > 1:
            bench.db.flush()
            bench.upsert("words", rows([6], 9))
        if collect:
            gc.collect(bench.shard.core)
        assert_same(bench.db, bench.model)

    replace(kind, bench, meanwhile)
    bench.verify()
    bench.reopen()
    bench.db.maintain()
    bench.verify()
    bench.crash(power=True)
    bench.start()
    bench.recovered()


@pytest.mark.parametrize("kind", ["merge", "demotion", "promotion"])
def test_a_collection_that_is_dropped_meanwhile(bench: Bench, kind: str) -> None:
    """The new collection of the same name gets none of its rows, and no object stays behind."""
    many_segments(bench)

    def meanwhile() -> None:
        bench.drop("words")
        bench.db.flush()
        bench.create("words", 3, "l2", "int64", {"rank": "int64", "pos": "string"})
        bench.upsert("words", rows([1], 7))

    replace(kind, bench, meanwhile)
    bench.verify()
    bench.db.maintain()
    bench.reopen()
    assert bench.check(bench.local) == []
    assert _cold_objects(bench) == _needed_objects(bench)
