"""Replay refuses a log that does not fit: a state that differs from the one that was acknowledged is never shown."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.crash.workload import flushed, rows, some_rows
from tests.model.bench import Bench
from tiervdb.database.open import open_in
from tiervdb.engine import core as engine_core
from tiervdb.engine import wal
from tiervdb.engine.open import Setting
from tiervdb.errors import CorruptionError, OutsideWindowError
from tiervdb.format.wal_record import finish_record


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "bench")
    made.start()
    yield made
    made.check(made.local)
    made.end()


def test_every_state_since_the_manifest_can_be_replayed(bench: Bench) -> None:
    flushed(bench)
    first = bench.shard.manifest().flushed_seq
    for seq in range(first, bench.acked + 1):
        bench.look_back(seq)
    with pytest.raises(OutsideWindowError, match=f"commit {bench.acked + 1} "):
        bench.db.at(seq=bench.acked + 1)


def test_the_log_of_another_database_is_refused(bench: Bench, tmp_path: Path) -> None:
    """Same seqs, same collections, other rows: the running hash tells them apart."""
    other = Bench(tmp_path / "other")
    other.rng = random.Random(9)
    other.start()
    for one, change in ((bench, 0), (other, 1)):
        some_rows(one)
        one.db.flush()
        one.upsert("words", rows([5], change))
        one.stop()
    (name,) = wal.file_names(bench.local, 0)
    own = bench.local.read(name)
    bench.local.write_atomic(name, other.local.read(name))
    with pytest.raises(CorruptionError, match="is not the one that the manifest of commit"):
        bench.start()
    other.end()
    bench.local.write_atomic(name, own)  # with its own log it is whole


def test_a_replay_that_does_something_else_than_the_commit_did_is_refused(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    some_rows(bench)

    def miscounted(*args: object, counts, **kwargs):
        wrong = [replace_count(c) for c in counts]
        return finish_record(*args, counts=wrong, **kwargs)

    def replace_count(count):
        return type(count)(count.collection, count.upserted, count.deleted + 1, count.live)

    bench.stop()
    logs = {name: bench.local.read(name) for name in bench.local.walk("wal")}
    bench.start()
    monkeypatch.setattr(engine_core, "finish_record", miscounted)
    bench.db["words"].delete(ids=[3])
    bench.stop()
    with pytest.raises(CorruptionError, match="when it was made"):
        bench.start()
    for name in list(bench.local.walk("wal")):
        bench.local.delete(name)
    for name, data in logs.items():
        bench.local.write_atomic(name, data)


def test_the_clock_may_step_back(bench: Bench) -> None:
    """Commit times rise all the same, over reopening too."""
    some_rows(bench)
    for step in (-3600, 5, -100_000):
        bench.clock.advance(step)
        bench.upsert("words", rows([1], 5))
        bench.stop()
        bench.start()
    times = bench.db.log().column("time").to_pylist()
    assert all(one < other for one, other in pairwise(times))


def test_what_was_written_but_not_synced_may_go_with_the_power(bench: Bench) -> None:
    """durability="os": a killed process loses nothing; a power loss takes the end, and nothing but the end."""
    bench.stop()
    lazy = Setting(options=bench.options, durability="os")

    def start() -> None:
        bench.db = open_in(bench.local, lazy, bench.clock, bench.rng, read_only=False)

    start()
    some_rows(bench)
    bench.crash(power=False)
    start()
    bench.recovered()
    synced = bench.acked  # opening again syncs the log
    bench.upsert("words", rows([80], 8))
    bench.delete("words", [80, 1])
    bench.acked = synced
    bench.crash(power=True)
    start()
    bench.recovered()
    assert bench.db.seq == synced
