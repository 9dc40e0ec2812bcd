"""Readers beside a writer, and their pins."""

from __future__ import annotations

import gc as python_gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.workload import flushed, half_cold, rows, some_rows
from tests.model.bench import Bench
from tests.model.conftest import dead_processes_stay_quiet, one_inode
from tests.model.model import assert_same
from tests.support.faulty_dir import FaultyDir, io_error
from tiervdb.engine import pins
from tiervdb.errors import CorruptionError, OutsideWindowError, StateError
from tiervdb.format.documents import Pin
from tiervdb.format.paths import PinName
from tiervdb.storage.local_dir import LocalDir

__all__ = ["dead_processes_stay_quiet", "one_inode"]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "bench")
    made.start()
    yield made
    made.check(made.local)
    made.end()


def test_a_reader_shows_its_state_until_it_is_refreshed(bench: Bench) -> None:
    half_cold(bench)
    with bench.open(read_only=True) as reader:
        before = bench.model
        assert_same(reader, before)
        bench.delete("words", [5, 8])
        bench.drop("texts")
        bench.db.flush()
        bench.db.promote("words")
        bench.db.maintain()
        assert_same(reader, before)
        assert reader.refresh() == bench.acked
        assert_same(reader, bench.model)
        bench.db.maintain()
        assert_same(reader, bench.model)
    bench.db.maintain()
    assert bench.db.pins() == []
    assert bench.check(bench.local) == []


def test_a_reader_alone_sees_what_the_log_holds(bench: Bench) -> None:
    flushed(bench)
    bench.crash(power=False)
    with bench.open(read_only=True) as reader:
        assert_same(reader, bench.model)
    bench.start()
    bench.recovered()


def test_what_only_a_reader_needs_goes_with_it(bench: Bench) -> None:
    flushed(bench)
    reader = bench.open(read_only=True)
    bench.upsert("words", rows(range(40), 4))
    bench.db.flush()
    bench.db.maintain()
    kept = set(bench.local.walk("segments"))
    reader.close()
    del reader
    python_gc.collect()
    bench.db.maintain()
    assert set(bench.local.walk("segments")) < kept


def test_the_pin_of_a_reader_that_died_is_released(bench: Bench) -> None:
    some_rows(bench)
    reader = bench.open(read_only=True)
    assert [pin.kind for pin in bench.db.pins()] == ["reader"]
    bench.crash(power=False)
    bench._graves.append(reader)
    bench.start()
    bench.recovered()
    bench.db.maintain()
    assert bench.db.pins() == []


def test_a_pin_that_goes_while_garbage_is_collected(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    some_rows(bench)
    reader = bench.open(read_only=True)

    def closing(local: LocalDir, pin: Pin, now_us: int) -> bool:
        reader.close()
        local.delete(PinName(pin.id).name)
        return is_abandoned(local, pin, now_us)

    is_abandoned = pins.is_abandoned
    monkeypatch.setattr(pins, "is_abandoned", closing)
    bench.db.maintain()
    assert bench.db.pins() == []


def test_a_pin_that_cannot_be_deleted_is_left_to_the_writer(bench: Bench) -> None:
    disk, whole = FaultyDir(bench.folder), bench.directory
    bench.directory = disk  # type: ignore[assignment]
    reader = bench.open(read_only=True)
    bench.directory = whole
    disk.plan.fail(io_error(), "unlink", name_part="pins/")
    reader.close()
    del reader
    python_gc.collect()
    assert len(bench.db.pins()) == 1
    bench.db.maintain()
    assert bench.db.pins() == []


def test_the_pin_of_a_reader_survives_a_power_loss_whole_or_not_at_all(bench: Bench) -> None:
    """A pin that cannot be read keeps a database from opening."""
    some_rows(bench)
    for seed in range(6):
        reader = bench.open(read_only=True)
        bench.crash(power=True, seed=seed)
        bench._graves.append(reader)
        assert [pin.kind for pin in pins.listed(bench.local)] in (["reader"], [])
        bench.start()
        bench.recovered()
        bench.db.maintain()


def test_a_view_of_the_past_does_not_move(bench: Bench) -> None:
    some_rows(bench)
    with bench.db.at(seq=1) as past, pytest.raises(StateError, match="past"):
        past.refresh()
    bench.db.flush()
    bench.db.maintain()
    with pytest.raises(OutsideWindowError, match="commit 1 "):
        bench.db.at(seq=1)


def test_a_missing_segment_file_is_damage_not_haste(bench: Bench) -> None:
    flushed(bench)
    lost = next(name for name in bench.local.list("segments") if name.endswith(".dead"))
    bench.stop()
    data = bench.local.read(lost)
    bench.local.delete(lost)
    for read_only in (True, False):
        with pytest.raises(CorruptionError, match=lost):
            bench.open(read_only=read_only)
    bench.local.write_atomic(lost, data)


def test_a_writer_may_sweep_while_a_reader_pins(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader tries again."""
    some_rows(bench)
    hold, swept = pins.hold, []

    def sweep_once(local, pin):
        if not swept:
            swept.append(pin)
            raise pins.ObjectNotFoundError("swept")
        return hold(local, pin)

    monkeypatch.setattr(pins, "hold", sweep_once)
    with bench.open(read_only=True) as reader:
        assert_same(reader, bench.model)
    assert len(swept) == 1
