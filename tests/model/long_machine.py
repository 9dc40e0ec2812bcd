"""The state machine with what takes time or other processes."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.model.long_bench import Copied, LongBench
from tests.model.machine import DatabaseMachine, seeds
from tests.support.crash_dir import CrashPoint, When
from tiervdb.errors import OutsideWindowError

MOMENTS = (-7200, -1, 1, 600, 7200)  # seconds; a wall clock may be set back
COPIES = st.sampled_from(["clone", "take_over"])


class LongMachine(DatabaseMachine):
    """All rules of ``DatabaseMachine``, and more."""

    bench: LongBench
    bench_class = LongBench

    def has_reader(self) -> bool:
        return self.bench.reader is not None

    @precondition(DatabaseMachine.has_collections)
    @rule(data=st.data())
    def ingest(self, data: st.DataObject) -> None:
        name = self.pick(data)
        self.made += 1
        self.bench.ingest(name, self.rows(data, name), f"load-{self.made}")

    # -- time

    @rule(seconds=st.sampled_from(MOMENTS))
    def time_goes_by(self, seconds: int) -> None:
        self.bench.clock.advance(seconds)

    @rule(seconds=st.sampled_from([1, 300, 3600]))
    def snapshot_for_a_while(self, seconds: int) -> None:
        self.made += 1
        self.bench.snapshot_until(f"s{self.made}", seconds)

    @precondition(lambda self: set(self.bench.expires) & set(self.bench.model.snapshots))
    @rule()
    def snapshots_expire(self) -> None:
        self.bench.clock.us = max(self.bench.clock.us, *self.bench.expires.values())
        self.bench.maintain()
        assert not set(self.bench.expires) & set(self.bench.model.snapshots)

    @rule()
    def maintain(self) -> None:
        self.bench.maintain()

    @rule(back=st.integers(0, 8))
    def look_back_in_time(self, back: int) -> None:
        seq = max(0, self.bench.acked - back)
        if seq not in self.bench.times:
            return
        try:
            self.bench.look_back_in_time(seq)
        except OutsideWindowError:
            flushed = self.bench.shard.manifest().flushed_seq
            assert seq < flushed, f"commit {seq} is after the manifest of {flushed}, so the log must hold it"

    # -- a reader beside the writer

    @rule()
    def open_reader(self) -> None:
        self.bench.open_reader()

    @precondition(has_reader)
    @rule()
    def read_beside(self) -> None:
        self.bench.check_reader()

    @precondition(has_reader)
    @rule()
    def refresh_reader(self) -> None:
        self.bench.refresh_reader()

    @precondition(has_reader)
    @rule()
    def close_reader(self) -> None:
        self.bench.close_reader()

    # -- other places

    @rule(copied=COPIES)
    def adopt(self, copied: Copied) -> None:
        self.bench.adopt(copied)

    @rule(
        data=st.data(),
        work=st.sampled_from(["ingest", "maintain", "adopt"]),
        copied=COPIES,
        step=st.integers(1, 40),
        when=st.sampled_from(["before", "during", "after"]),
        power=st.booleans(),
        seed=seeds,
    )
    def crash_in_the_middle_of_that(
        self, data: st.DataObject, work: str, copied: Copied, step: int, when: When, power: bool, seed: int | None
    ) -> None:
        if work == "adopt":  # from opening on, which is another process
            self.bench.stop()
            self.bench.close_reader()
            self.bench._new_process()
            self.bench.inode, self.bench.adopting = self.bench.inode + 1, copied
        disk = self.bench.directory.crash_disk
        disk.crash_at, disk.when = disk.steps + step, when
        try:
            if work == "adopt":
                self.bench.start()
            elif work == "ingest" and self.has_collections():
                self.ingest(data)
            else:
                self.bench.clock.advance(7200)
                self.maintain()
        except CrashPoint:
            assert disk.crashed
        if disk.crashed:
            self.crash(power, seed)
        disk.crash_at = None
