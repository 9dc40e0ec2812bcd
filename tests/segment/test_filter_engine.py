"""What the engine keeps, and that it gives the right answer whatever it kept."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.segment.filter_values import TABLE, WORDS, TableSource
from tiervdb.errors import CorruptionError, FilterError
from tiervdb.segment.filter import FilterEngine, compile_filter
from tiervdb.segment.filter_bitmaps import Bitmaps
from tiervdb.segment.filter_tables import Growing
from tiervdb.types import CollectionSchema, Column


def masks(engine: FilterEngine, where: str, sources: list[TableSource], *params: Any) -> list[list[bool]]:
    return [mask.tolist() for mask in engine.masks(compile_filter(where, params, WORDS), list(sources))]


def test_sources_of_all_kinds_in_one_call() -> None:
    engine = FilterEngine(1 << 20)
    sources = [TableSource(TABLE, "a"), TableSource(TABLE.slice(1), None), TableSource(TABLE.slice(0, 0), "b")]
    for _ in range(3):
        assert masks(engine, "rank = 2", sources) == [[False, True, False, False], [True, False, False], []]
    assert masks(engine, "rank = 2", []) == []
    assert masks(engine, "rank = 2", [sources[2]]) == [[]]
    assert masks(engine, "1 = 1", sources) == [[True] * 4, [True] * 3, []]
    assert masks(engine, "1 = null", sources) == [[False] * 4, [False] * 3, []]


def test_tables_are_read_once_and_bitmaps_kept() -> None:
    engine = FilterEngine(1 << 20)
    kept, fresh = TableSource(TABLE, "a"), TableSource(TABLE)
    for value in (1, 2, 1, 2):
        masks(engine, "rank = ?", [kept, fresh], value)
    assert (kept.reads, fresh.reads) == (1, 4)
    masks(engine, "rank = 1 and pos = 'x'", [kept])
    masks(engine, "pos = 'y' and rank = 4", [kept])
    assert kept.reads == 2  # the second column came in
    assert masks(engine, "rank = 3 or pos = 'VERB' or id = 'dog'", [kept]) == [[False, True, True, True]]


def test_masks_belong_to_the_caller() -> None:
    engine = FilterEngine(1 << 20)
    source = TableSource(TABLE, "a")
    where = compile_filter("rank = 1", [], WORDS)
    for _ in range(2):
        (mask,) = engine.masks(where, [source])
        mask[:] = True
    assert engine.masks(where, [source])[0].tolist() == [True, False, False, False]


def test_missing_columns_are_null() -> None:
    engine = FilterEngine(1 << 20)
    old = TableSource(TABLE.select(["id", "rank"]), "old")
    assert masks(engine, "pos is null and rank = 1", [old]) == [[True, False, False, False]]


def test_a_column_that_was_dropped_and_added_again() -> None:
    """Same name, same segment, other column: the table of the first one must not answer."""
    engine = FilterEngine(1 << 20)

    def schema(number: int) -> CollectionSchema:
        column = Column(id=number, name="rank", type="int64")
        return CollectionSchema(id=1, name="c", dim=1, metric="l2", id_type="int64", columns=(column,))

    first = TableSource(pa.table({"id": [1, 2], "rank": [5, 6]}), "segment")
    second = TableSource(pa.table({"id": [1, 2], "rank": pa.nulls(2, pa.int64())}), "segment")
    assert engine.masks(compile_filter("rank = 5", [], schema(1)), [first])[0].tolist() == [True, False]
    assert engine.masks(compile_filter("rank = 5", [], schema(2)), [second])[0].tolist() == [False, False]
    assert engine.masks(compile_filter("rank is null", [], schema(2)), [second])[0].tolist() == [True, True]
    assert engine.masks(compile_filter("rank = 6", [], schema(1)), [first])[0].tolist() == [False, True]


@pytest.mark.parametrize("budget", [0, 2_000, 40_000, 1 << 22])
def test_any_budget_gives_the_same_answers(budget: int) -> None:
    engine = FilterEngine(budget)
    rng = np.random.default_rng(1)
    sources = [
        TableSource(pa.table({"id": [f"{s}{n}" for n in range(300)], "rank": rng.integers(0, 9, 300)}), s)
        for s in range(12)
    ]
    for round_ in range(4):
        for value in range(9):
            picked = [sources[n] for n in rng.permutation(12)[: 5 + round_]]
            found = engine.masks(compile_filter("rank = ?", [value], WORDS), picked)
            for mask, source in zip(found, picked, strict=True):
                assert (mask == (source.arrow.column("rank").to_numpy() == value)).all()
    assert engine.kept_bytes <= budget
    assert (sources[0].reads <= 1) == (budget == 1 << 22)


def test_bitmaps_stay_within_their_budget() -> None:
    bitmaps = Bitmaps(100)
    for n in range(50):
        bitmaps.put(n, np.arange(80) == n)
    assert bitmaps.nbytes <= 100
    assert bitmaps.get(0) is None
    found = bitmaps.get(49)
    assert found is not None
    assert found.nonzero()[0].tolist() == [49]
    assert len(found) == 80
    bitmaps.put("large", np.ones(10_000, np.bool_))
    assert bitmaps.get("large") is None


def test_many_threads() -> None:
    engine = FilterEngine(30_000)
    sources = [
        TableSource(pa.table({"id": [str(n) for n in range(500)], "rank": np.arange(500) % 7 + s}), s) for s in range(8)
    ]
    wrong: list[object] = []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        try:
            for _ in range(40):
                value = int(rng.integers(0, 14))
                picked = [sources[n] for n in rng.permutation(8)[:4]]
                for mask, s in zip(
                    engine.masks(compile_filter("rank = ?", [value], WORDS), picked), picked, strict=True
                ):
                    if not (mask == (s.arrow.column("rank").to_numpy() == value)).all():
                        wrong.append((s.key, value))
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_failed_evaluation_leaves_the_engine_usable() -> None:
    engine = FilterEngine(1 << 20)
    source = TableSource(TABLE, "a")
    for _ in range(3):
        with pytest.raises(FilterError):
            masks(engine, "pos::int = 1", [source])
    assert masks(engine, "rank = 1", [source]) == [[True, False, False, False]]
    engine.close()
    assert masks(engine, "rank = 1", [source]) == [[True, False, False, False]]
    assert source.reads == 3


def test_a_table_of_another_length_is_damage() -> None:
    class Short(TableSource):
        def table(self) -> pa.Table:
            return TABLE.slice(1)

    with pytest.raises(CorruptionError, match="3 rows instead of 4"):
        masks(FilterEngine(1 << 20), "rank = 1", [Short(TABLE, "a")])


def test_of_rows_that_grow_only_the_new_ones_are_read() -> None:
    engine = FilterEngine(1 << 20)
    where = compile_filter("rank > ? or id = 'apple'", [2], WORDS)
    key = Growing()

    def ask(rows: int, whose: Growing = key) -> tuple[list[bool], int]:
        source = TableSource(TABLE.slice(0, rows), whose)
        (mask,) = engine.masks(where, [source])
        return mask.tolist(), source.rows_read

    everything, read = ask(len(TABLE), Growing())
    assert read == len(TABLE)
    assert ask(2) == (everything[:2], 2)
    assert ask(2) == (everything[:2], 0)
    assert ask(len(TABLE)) == (everything, len(TABLE) - 2)
    assert ask(1) == (everything[:1], 0), "a view from before"
    assert ask(len(TABLE)) == (everything, 0)
    assert engine.kept_bytes == 2 * len(np.packbits(everything))
