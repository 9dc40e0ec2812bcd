from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from tests.engine.values import OWNER, an_id, pin
from tests.support.faulty_store import FaultyStore
from tiervdb.clock import ManualClock
from tiervdb.engine.cold_store import ColdStore
from tiervdb.errors import CorruptionError, FencedError, ObjectExistsError, StoreUnavailableError
from tiervdb.format import documents, paths
from tiervdb.format.documents import Identity, Place, TimelineRecord
from tiervdb.storage.directory_store import DirectoryStore
from tiervdb.storage.os_dir import OsDir


@pytest.fixture
def store(os_dir: OsDir) -> FaultyStore:
    return FaultyStore(DirectoryStore(os_dir))


def writer(
    store: FaultyStore, seed: int = 1, database: int = 1, is_private: bool = False, timelines: Sequence[int] = (2,)
) -> ColdStore:
    """``timelines``: its own, then those that it descends from."""
    lines = [TimelineRecord(id=an_id(number), created_us=1) for number in timelines]
    identity = Identity(
        database_id=an_id(database),
        shards=1,
        timeline=lines[0],
        ancestors=tuple(lines[1:]),
        created_us=1,
        place=Place(inode=1, machine=""),
        cold_url=None if is_private else "file:///store",
    )
    return ColdStore(store, identity, OWNER, ManualClock(), random.Random(seed))


def test_a_takeover_shuts_out_a_writer_that_never_wrote_to_the_store(store: FaultyStore) -> None:
    original = writer(store)
    assert writer(store, 2, timelines=(3, 2)).epoch() == 1
    with pytest.raises(FencedError, match="epoch 1"):
        original.epoch()
    assert writer(store, 4, timelines=(4, 3, 2)).epoch() == 2


def test_each_writer_takes_the_next_epoch_once(store: FaultyStore) -> None:
    first = writer(store)
    assert list(store.list("")) == []
    assert (first.epoch(), first.epoch()) == (1, 1)
    assert writer(store, 2).epoch() == 2
    assert writer(store, 3, database=9).epoch() == 1
    data = store.get(paths.EpochKey(an_id(1), 2).key)
    assert documents.decode_epoch(data, "epoch").owner == OWNER


def test_a_newer_writer_shuts_the_older_out(store: FaultyStore) -> None:
    first = writer(store)
    assert first.new_key("parquet").startswith(f"{an_id(1)}/0000000001/")
    writer(store, 2).epoch()
    with pytest.raises(FencedError, match="epoch 2"):
        first.epoch()
    with pytest.raises(FencedError):
        first.new_key("parquet")


def test_who_loses_a_race_for_an_epoch_takes_the_next(store: FaultyStore) -> None:
    slow = writer(store)

    def other_is_faster() -> None:
        store.delay = lambda: None
        assert writer(store, 2).epoch() == 1

    store.delay = lambda: setattr(store, "delay", other_is_faster)  # at the second request
    assert slow.epoch() == 2


def test_no_key_comes_twice(store: FaultyStore) -> None:
    cold = writer(store)
    keys = {cold.new_key("parquet") for _ in range(50)}
    assert len(keys) == 50
    assert all(isinstance(paths.parse_key(key), paths.ObjectKey) for key in keys)


def test_a_store_that_is_away_gives_no_epoch(store: FaultyStore) -> None:
    cold = writer(store)
    store.away = True
    with pytest.raises(StoreUnavailableError):
        cold.epoch()
    store.away = False
    assert cold.epoch() == 1
    store.away = True
    with pytest.raises(StoreUnavailableError):
        cold.epoch()  # it cannot know that nobody took over


def test_a_lost_reply_costs_a_number_at_most(store: FaultyStore) -> None:
    store.plan.fail(StoreUnavailableError("reply lost"), "put_if_absent", name_part="/epochs/", when="after")
    cold = writer(store)
    with pytest.raises(StoreUnavailableError):
        cold.epoch()
    assert cold.epoch() == 2
    assert cold.epoch() == 2


def test_the_race_is_won_by_creating_only(store: FaultyStore) -> None:
    writer(store).epoch()
    with pytest.raises(ObjectExistsError):
        store.put_if_absent(paths.EpochKey(an_id(1), 1).key, b"")


@pytest.mark.parametrize(
    ("key", "own", "own_if_private"),
    [
        (paths.ObjectKey(an_id(1), 1, an_id(5), "parquet").key, True, True),
        (paths.ObjectKey(an_id(3), 1, an_id(5), "parquet").key, False, True),
        (paths.EpochKey(an_id(1), 1).key, False, False),
        (paths.ColdPinKey(an_id(1), an_id(5)).key, False, False),
        ("notes.txt", False, False),
        (f"{an_id(1)}/0000000001/../{an_id(5)}.parquet", False, False),
    ],
)
def test_only_own_objects_may_ever_be_deleted(store: FaultyStore, key: str, own: bool, own_if_private: bool) -> None:
    assert writer(store).owns(key) == own
    assert writer(store, is_private=True).owns(key) == own_if_private


def test_pins_of_others_are_found_and_a_damaged_one_is_not_passed_over(store: FaultyStore) -> None:
    cold = writer(store)
    assert list(cold.pins()) == []
    held = pin(5, kind="clone", keys=("a",))
    store.put(paths.ColdPinKey(an_id(1), an_id(5)).key, documents.encode(held))
    store.put(paths.ColdPinKey(an_id(3), an_id(6)).key, b"of another database")
    assert list(cold.pins()) == [held]
    store.put(paths.ColdPinKey(an_id(1), an_id(7)).key, b"{}")
    with pytest.raises(CorruptionError, match=an_id(7)):
        list(cold.pins())
