"""A Hypothesis state machine: the public API in any order, beside a plain model."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.model.bench import Bench
from tests.model.model import Id, ModelCollection, Row, Where, assert_nearest, assert_same, id_in, pos_is, rank_below
from tests.support.crash_dir import CrashPoint, When
from tiervdb.errors import OutsideWindowError

NAMES = ("a", "b", "c")
KINDS = {"rank": "int64", "pos": "string", "lang": "string"}
coordinates = st.integers(-4, 4).map(float)
numbers = st.sampled_from(range(24))
ranks = st.one_of(st.none(), st.integers(0, 9))
words = st.sampled_from([None, "x", "y"])
wheres = st.one_of(
    st.integers(0, 10).map(rank_below),
    st.sampled_from(["x", "y"]).map(pos_is),
    st.lists(numbers, min_size=1, max_size=3).map(id_in),
)
seeds = st.one_of(st.none(), st.integers(0, 5))


class DatabaseMachine(RuleBasedStateMachine):
    """The rows have few ids and small vectors, so that they often meet."""

    bench_class = Bench

    @initialize()
    def begin(self) -> None:
        self.base = Path(tempfile.mkdtemp(prefix="tiervdb-model-"))
        self.bench = self.bench_class(self.base / "bench")
        self.bench.start()
        self.made = 0  # snapshots and clones so far, for names

    def teardown(self) -> None:
        if hasattr(self, "bench"):
            self.bench.end()
            shutil.rmtree(self.base, ignore_errors=True)

    # -- what exists

    @property
    def collections(self) -> dict[str, ModelCollection]:
        return dict(self.bench.model.collections)

    def pick(self, data: st.DataObject, *, rows: bool = False) -> str:
        names = sorted(n for n, c in self.collections.items() if c.rows or not rows)
        return data.draw(st.sampled_from(names), label="collection")

    def ids(self, name: str, drawn: Sequence[int]) -> list[Id]:
        is_text = self.collections[name].id_type == "string"
        return [f"id {n}" if is_text else n for n in dict.fromkeys(drawn)]

    def rows(self, data: st.DataObject, name: str, most: int = 12) -> dict[Id, Row]:
        collection = self.collections[name]
        ids = self.ids(name, data.draw(st.lists(numbers, min_size=1, max_size=most), label="ids"))
        vectors = st.tuples(*[coordinates] * collection.dim).filter(any)  # cosine has no zero vector
        columns = st.fixed_dictionaries({"rank": ranks, "pos": words, "lang": words})
        drawn = data.draw(st.tuples(*[st.tuples(vectors, columns)] * len(ids)), label="rows")
        return {
            i: Row(v, {c: x for c, x in cs.items() if x is not None}) for i, (v, cs) in zip(ids, drawn, strict=True)
        }

    def has_collections(self) -> bool:
        return bool(self.collections)

    def has_rows(self) -> bool:
        return any(c.rows for c in self.collections.values())

    def has_snapshots(self) -> bool:
        return bool(self.bench.model.snapshots)

    # -- schema

    @precondition(lambda self: len(self.collections) < len(NAMES))
    @rule(
        dim=st.integers(1, 3),
        metric=st.sampled_from(["cosine", "l2", "ip"]),
        id_type=st.sampled_from(["int64", "string"]),
        columns=st.sampled_from([{}, {"rank": "int64"}, {"rank": "int64", "pos": "string"}]),
    )
    def create(self, dim: int, metric: str, id_type: str, columns: dict[str, str]) -> None:
        name = next(n for n in NAMES if n not in self.collections)
        self.bench.create(name, dim, metric, id_type, columns)

    @precondition(lambda self: len(self.collections) > 1)
    @rule(data=st.data())
    def drop(self, data: st.DataObject) -> None:
        self.bench.drop(self.pick(data))

    @precondition(has_collections)
    @rule(data=st.data(), column=st.sampled_from(sorted(KINDS)))
    def alter(self, data: st.DataObject, column: str) -> None:
        name = self.pick(data)
        if column in self.collections[name].columns:
            self.bench.drop_column(name, column)
        else:
            self.bench.add_column(name, column, KINDS[column])

    # -- writing

    @precondition(has_collections)
    @rule(data=st.data())
    def upsert(self, data: st.DataObject) -> None:
        name = self.pick(data)
        self.bench.upsert(name, self.rows(data, name))

    @precondition(has_rows)
    @rule(data=st.data(), drawn=st.lists(numbers, min_size=1, max_size=6), value=words)
    def update(self, data: st.DataObject, drawn: list[int], value: str | None) -> None:
        name = self.pick(data, rows=True)
        ids = self.ids(name, drawn)
        if "pos" in self.collections[name].columns and set(ids) & set(self.collections[name].rows):
            self.bench.update(name, ids, {"pos": value})

    @precondition(has_collections)
    @rule(data=st.data(), drawn=st.lists(numbers, min_size=1, max_size=6))
    def delete(self, data: st.DataObject, drawn: list[int]) -> None:
        name = self.pick(data)
        self.bench.delete(name, self.ids(name, drawn))

    @precondition(has_rows)
    @rule(data=st.data(), where=wheres)
    def delete_where(self, data: st.DataObject, where: Where) -> None:
        name = self.pick(data, rows=True)
        if self.fits(name, where):
            self.bench.delete_where(name, where)

    @precondition(has_collections)
    @rule(data=st.data(), drawn=st.lists(numbers, min_size=1, max_size=4))
    def batch(self, data: st.DataObject, drawn: list[int]) -> None:
        one, other = self.pick(data), self.pick(data)
        rows = {name: self.rows(data, name, 4) for name in sorted({one, other})}
        self.bench.batch(rows, {other: self.ids(other, drawn)})

    # -- moving rows about

    @rule()
    def flush(self) -> None:
        self.bench.db.flush()

    @rule()
    def maintain(self) -> None:
        self.bench.db.maintain()

    @precondition(has_rows)
    @rule(data=st.data(), fraction=st.sampled_from([0.3, 0.6, 1.0]), cold=st.booleans())
    def move(self, data: st.DataObject, fraction: float, cold: bool) -> None:
        name = self.pick(data, rows=True)
        self.bench.db.demote(name, fraction) if cold else self.bench.db.promote(name, fraction)

    # -- the past

    @rule()
    def snapshot(self) -> None:
        self.made += 1
        self.bench.snapshot(f"s{self.made}")

    @precondition(has_snapshots)
    @rule(data=st.data())
    def drop_snapshot(self, data: st.DataObject) -> None:
        self.bench.drop_snapshot(data.draw(st.sampled_from(sorted(self.bench.model.snapshots))))

    @precondition(has_snapshots)
    @rule(data=st.data())
    def look_back(self, data: st.DataObject) -> None:
        self.bench.look_back(data.draw(st.sampled_from(sorted(self.bench.model.snapshots))))

    @rule(back=st.integers(0, 8))
    def look_back_to_a_commit(self, back: int) -> None:
        seq = max(0, self.bench.acked - back)
        try:
            self.bench.look_back(seq)
        except OutsideWindowError:
            flushed = self.bench.shard.manifest().flushed_seq
            assert seq < flushed, f"commit {seq} is after the manifest of {flushed}, so the log must hold it"

    @rule(data=st.data())
    def clone(self, data: st.DataObject) -> None:
        names = sorted(self.bench.model.snapshots)
        at = data.draw(st.sampled_from([None, *names]))
        self.made += 1
        self.bench.clone(f"clone {self.made}", at)
        expected = self.bench.states[self.bench.model.snapshots[at]] if at else self.bench.model
        self.bench.verify_clone(f"clone {self.made}", expected)

    # -- the end, and a new start

    @rule()
    def reopen(self) -> None:
        self.bench.reopen()

    @rule(power=st.booleans(), seed=seeds)
    def crash(self, power: bool, seed: int | None) -> None:
        self.bench.crash(power=power, seed=seed)
        self.bench.start()
        self.bench.recovered()

    @precondition(has_collections)
    @rule(
        data=st.data(),
        work=st.sampled_from([upsert, batch, delete, flush, maintain, move, snapshot, look_back_to_a_commit]),
        step=st.integers(1, 40),
        when=st.sampled_from(["before", "during", "after"]),
        power=st.booleans(),
        seed=seeds,
    )
    def crash_in_the_middle(
        self, data: st.DataObject, work: object, step: int, when: When, power: bool, seed: int | None
    ) -> None:
        disk = self.bench.directory.crash_disk
        disk.crash_at, disk.when = disk.steps + step, when
        try:
            self._do(data, work)
        except CrashPoint:
            assert disk.crashed
        if disk.crashed:
            self.crash(power, seed)
        disk.crash_at = None

    def _do(self, data: st.DataObject, work: object) -> None:
        """One of the rules above, with arguments drawn here."""
        drawn = data.draw(st.lists(numbers, min_size=1, max_size=4))
        match work:
            case self.__class__.upsert:
                self.upsert(data)
            case self.__class__.batch:
                self.batch(data, drawn)
            case self.__class__.delete:
                self.delete(data, drawn)
            case self.__class__.move if self.has_rows():
                self.move(data, 0.6, cold=bool(drawn[0] % 2))
            case self.__class__.snapshot:
                self.snapshot()
            case self.__class__.look_back_to_a_commit:
                self.look_back_to_a_commit(drawn[0] % 4)
            case self.__class__.maintain:
                self.maintain()
            case _:
                self.flush()

    # -- reading

    @precondition(has_rows)
    @rule(data=st.data(), k=st.integers(1, 30), where=st.one_of(st.none(), wheres))
    def search(self, data: st.DataObject, k: int, where: Where | None) -> None:
        name = self.pick(data, rows=True)
        collection = self.collections[name]
        query = data.draw(st.tuples(*[coordinates] * collection.dim).filter(any), label="query")
        if where is None or self.fits(name, where):
            assert_nearest(self.bench.db, name, collection, query, k, where)

    @precondition(has_rows)
    @rule(data=st.data(), drawn=st.lists(numbers, min_size=1, max_size=6))
    def get(self, data: st.DataObject, drawn: list[int]) -> None:
        name = self.pick(data, rows=True)
        ids = self.ids(name, drawn)
        found = self.bench.db[name].get(ids, vectors=True).to_pylist()
        rows = self.collections[name].rows
        assert [row["id"] for row in found] == [i for i in ids if i in rows]
        assert [tuple(row["vector"]) for row in found] == [rows[i].vector for i in ids if i in rows]

    @precondition(has_rows)
    @rule(data=st.data(), where=wheres)
    def count(self, data: st.DataObject, where: Where) -> None:
        name = self.pick(data, rows=True)
        if self.fits(name, where):
            expected = self.collections[name].matching(where.matches)
            assert self.bench.db[name].count(where.sql, where.params) == len(expected)
            scanned = self.bench.db[name].scan(where.sql, where.params, columns=[]).read_all()
            assert set(scanned.column("id").to_pylist()) == set(expected)

    def fits(self, name: str, where: Where) -> bool:
        """Whether the collection has what the filter names."""
        collection = self.collections[name]
        if where.sql.startswith("id"):
            return collection.id_type == "int64"
        return where.sql.split()[0] in collection.columns

    @invariant()
    def shows_what_the_model_shows(self) -> None:
        if hasattr(self, "bench"):
            assert_same(self.bench.db, self.bench.model)
