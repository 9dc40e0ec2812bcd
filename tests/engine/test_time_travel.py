from __future__ import annotations

import pytest

from tests.engine.values import CLOCK_US, manifest, pin
from tiervdb.engine import pins, time_travel
from tiervdb.engine.manifest_store import ManifestStore
from tiervdb.engine.time_travel import Stretch, at_seq, stretches
from tiervdb.errors import OutsideWindowError
from tiervdb.storage.os_dir import OsDir

HELD = [
    Stretch(manifest(1, 0), 3),
    Stretch(manifest(2, 10), 12),
    Stretch(manifest(3, 11), 14),
    Stretch(manifest(4, 20), 25),
]


@pytest.mark.parametrize(("seq", "first"), [(0, 0), (3, 0), (10, 10), (11, 11), (12, 11), (14, 11), (20, 20), (25, 20)])
def test_the_stretch_with_the_least_to_replay_is_chosen(seq: int, first: int) -> None:
    assert at_seq(HELD, seq).first_seq == first


@pytest.mark.parametrize(
    ("seq", "near"), [(4, "3 and 10 "), (9, "3 and 10 "), (15, "14 and 20 "), (19, "14 and 20 "), (26, "25 ")]
)
def test_outside_the_nearest_points_are_named(seq: int, near: str) -> None:
    with pytest.raises(OutsideWindowError, match=f"commit {seq} is not held here.*can be opened: {near}") as caught:
        at_seq(HELD, seq)
    assert "(held: 0 to 3, 10 to 12, 11 to 14, 20 to 25)" in str(caught.value)


def test_pins_and_the_current_manifest_are_what_is_held(os_dir: OsDir) -> None:
    store = ManifestStore(os_dir, 0)
    for version, seq in ((1, 0), (2, 10), (3, 20)):
        store.publish(manifest(version, seq))
    pins.write(os_dir, pin(1, 2, 12))
    pins.write(os_dir, pin(2, 9, 5))  # its manifest is not listed: it holds nothing
    pins.write(os_dir, pin(3, 1, 1, shard=1))
    held = stretches(os_dir, 0, store, 25)
    assert [(s.manifest.version, s.first_seq, s.last_seq) for s in held] == [(2, 10, 12), (3, 20, 25)]


def test_times_of_manifests_are_known_even_without_a_log(os_dir: OsDir) -> None:
    held = [Stretch(manifest(1, 0), 0)]
    assert time_travel.seq_at_time(os_dir, 0, held, CLOCK_US + 5) == 0
    with pytest.raises(OutsideWindowError, match="nothing that is held here is as old as"):
        time_travel.seq_at_time(os_dir, 0, held, CLOCK_US - 1)
    with pytest.raises(OutsideWindowError, match="which commit was the last"):
        time_travel.seq_at_time(os_dir, 0, [Stretch(manifest(2, 10), 25)], CLOCK_US + 15)
