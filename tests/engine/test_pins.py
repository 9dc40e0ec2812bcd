from __future__ import annotations

import random

import pytest

from tests.engine.values import CLOCK_US, an_id, pin
from tests.support.crash_dir import CrashDir
from tiervdb.clock import ManualClock
from tiervdb.engine import intents, pins
from tiervdb.errors import CorruptionError, PinNotFoundError
from tiervdb.format.paths import PinName
from tiervdb.storage.os_dir import OsDir

READER = pin(7, kind="reader")


def test_pins_are_listed_until_released(os_dir: OsDir) -> None:
    assert pins.listed(os_dir) == []
    one, other = pin(1), pin(2, shard=1)
    pins.write(os_dir, one)
    pins.write(os_dir, other)
    os_dir.write_atomic("pins/notes.txt", b"not ours")
    assert pins.listed(os_dir) == [one, other]
    assert pins.listed(os_dir, 1) == [other]
    pins.release(os_dir, one.id)
    assert pins.listed(os_dir) == [other]


@pytest.mark.parametrize("wrong", [an_id(5), "", "../writer", "x", an_id(5) + "/"])
def test_releasing_what_is_not_there_says_so(os_dir: OsDir, wrong: str) -> None:
    with pytest.raises(PinNotFoundError, match="pins"):
        pins.release(os_dir, wrong)


def test_a_damaged_pin_stops_whoever_would_delete(os_dir: OsDir) -> None:
    os_dir.write_atomic(PinName(an_id(1)).name, b"{}")
    with pytest.raises(CorruptionError, match=an_id(1)):
        pins.listed(os_dir)


def test_a_written_pin_and_its_release_survive_a_power_loss(crash_dir: CrashDir) -> None:
    pins.write(crash_dir, pin(1))
    pins.write(crash_dir, pin(2))
    pins.release(crash_dir, an_id(1))
    crash_dir.drop_unsynced()
    assert pins.listed(OsDir(crash_dir.root, sync=False)) == [pin(2)]


def test_a_held_pin_lives_as_long_as_its_lock(os_dir: OsDir) -> None:
    lock = pins.hold(os_dir, READER)
    assert lock is not None
    assert pins.listed(os_dir) == [READER]
    assert not pins.is_abandoned(os_dir, READER, 2**60)
    lock.release()
    assert pins.is_abandoned(os_dir, READER, 0)


@pytest.mark.parametrize(
    ("held", "abandoned"),
    [
        (pin(1), False),
        (pin(1, expires_us=CLOCK_US), False),  # a snapshot goes by its name, in a commit
        (pin(1, kind="backup"), False),
        (pin(1, kind="backup", expires_us=CLOCK_US + 1), False),
        (pin(1, kind="backup", expires_us=CLOCK_US), True),
        (pin(1, kind="clone", expires_us=CLOCK_US - 1), True),
    ],
)
def test_other_pins_are_abandoned_when_their_time_is_over(os_dir: OsDir, held: pins.Pin, abandoned: bool) -> None:
    assert pins.is_abandoned(os_dir, held, CLOCK_US) == abandoned


class SweptDir(OsDir):
    """A directory whose staging folder a starting writer sweeps before the ``at``-th lock or rename."""

    def lock(self, name: str):
        for staged in list(self.walk("tmp")):
            self.delete(staged)
        return super().lock(name)


def test_a_pin_that_is_swept_while_it_is_made_leaves_no_empty_file(tmp_path) -> None:
    swept = SweptDir(tmp_path / "db", sync=False)
    with pytest.raises(pins.ObjectNotFoundError):
        pins.hold(swept, READER)
    assert pins.listed(swept) == []
    assert list(swept.walk("tmp")) == []


def test_intents_are_durable_and_listed_until_forgotten(
    crash_dir: CrashDir, clock: ManualClock, rng: random.Random
) -> None:
    one = intents.record(crash_dir, 0, ["a/b"], 3, clock, rng, "upload")
    crash_dir.drop_unsynced()
    after = OsDir(crash_dir.root, sync=False)
    assert (one.keys, one.epoch, one.created_us, one.kind) == (("a/b",), 3, CLOCK_US, "upload")
    other = intents.record(after, 1, [], 3, clock, rng, "remove")
    assert {i.id for i in intents.listed(after)} == {one.id, other.id}
    assert intents.listed(after, 0) == [one]
    intents.forget(after, one.id)
    assert intents.listed(after) == [other]
