"""Clones and copied directories."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.workload import rows, with_snapshots
from tests.model.bench import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "bench")
    made.start()
    with_snapshots(made)
    yield made
    made.check(made.local)
    made.end()


@pytest.mark.parametrize("flush_first", [True, False])
def test_a_clone_whose_log_drops_a_snapshot_opens(bench: Bench, flush_first: bool) -> None:
    bench.snapshot("second")
    if flush_first:
        bench.db.flush()
    bench.drop_snapshot("first")
    bench.clone("copy")
    bench.verify_clone("copy", bench.model)


def test_a_clone_lives_on_when_its_origin_is_gone(bench: Bench) -> None:
    expected = bench.states[bench.model.snapshots["first"]]
    bench.clone("copy", at="first")
    bench.drop("words")
    bench.drop_snapshot("first")
    bench.db.flush()
    bench.db.maintain()
    bench.verify_clone("copy", expected)


def test_a_clone_of_a_clone(bench: Bench) -> None:
    bench.clone("copy")
    inner = Bench(bench.folder / "inner")
    (bench.folder / "copy").rename(bench.folder / "inner-db")
    inner.folder.mkdir()
    (bench.folder / "inner-db").rename(inner.folder / "db")
    inner.start()
    assert inner.db.seq == bench.acked + 1  # the names of its origin's snapshots were dropped
    inner.model, inner.acked = bench.model.drop_snapshot("first"), inner.db.seq
    inner.states = {inner.acked: inner.model}
    inner.upsert("words", rows([80], 8))
    inner.db.demote("words")
    inner.clone("copy")
    inner.verify_clone("copy", inner.model)
    inner.verify()
    inner.end()
