"""A database deletes from a shared cold store, or is dropped, step against step with those who pin there."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from tests.engine.shared_store import (
    Place,
    adopted,
    at_step,
    copied_directory,
    one_of_both,
    store_of_next_open,
)
from tests.support.faulty_store import FaultyStore
from tiervdb.database.database import Database
from tiervdb.engine import drop
from tiervdb.engine import open as opening
from tiervdb.errors import CorruptionError, DatabaseLockedError, NotADatabaseError, StoreUnavailableError, TiervdbError
from tiervdb.format import paths
from tiervdb.storage.os_dir import OsDir


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(tmp_path)
    made.fill("db")
    return made


def test_a_copy_becomes_a_clone_at_any_step_of_a_drop(tmp_path: Path) -> None:
    outcomes = []
    for step in range(1, 40):
        place = Place(tmp_path / str(step))
        place.fill("db")
        copied_directory(place, "copy")
        store, refused = FaultyStore(place.store), list[TiervdbError | None]()
        reached = at_step(store, step, lambda p=place, r=refused: r.append(adopted(p, "copy")))
        place.drop("db", store)
        if not reached:
            break
        outcomes.append(one_of_both(place, "copy", refused[0]))
        assert len(place.objects()) == 3 * outcomes[-1]  # rows, sketch, codebook
        assert len(place.pins()) == outcomes[-1]
        assert place.deletions() == []
    assert {True, False} == set(outcomes)
    assert len(outcomes) > 8


def test_a_database_is_dropped_at_any_step_of_a_copy_that_becomes_a_clone(tmp_path: Path) -> None:
    outcomes = []
    for step in range(1, 40):
        place = Place(tmp_path / str(step))
        place.fill("db")
        copied_directory(place, "copy")
        with store_of_next_open(place) as store:
            reached = at_step(store, step, lambda p=place, s=store: (setattr(s, "delay", lambda: None), _drop(p))[0])
            outcome = adopted(place, "copy")
        if not reached:
            break
        outcomes.append(one_of_both(place, "copy", outcome))
        assert len(place.pins()) == outcomes[-1]
    assert {True, False} == set(outcomes)


def _drop(place: Place) -> None:
    original = opening._cold_store
    place.drop("db")
    assert opening._cold_store is original


def test_a_copy_becomes_a_clone_at_any_step_of_a_collection_of_garbage(tmp_path: Path) -> None:
    outcomes = []
    for step in range(1, 40):
        place = Place(tmp_path / str(step))
        place.fill("db")
        copied_directory(place, "copy")
        refused: list[TiervdbError | None] = []
        with store_of_next_open(place) as store:
            db = place.open("db")
        db.drop_collection("words")
        db.flush()
        reached = at_step(store, step, lambda p=place, r=refused: r.append(adopted(p, "copy")))
        db.maintain()
        db.close()
        if not reached:
            break
        outcomes.append(one_of_both(place, "copy", refused[0]))
        assert len(place.objects()) == 3 * outcomes[-1]  # rows, sketch, codebook
    assert {True, False} == set(outcomes)


def test_garbage_is_collected_at_any_step_of_a_clone(tmp_path: Path) -> None:
    steps = 0
    for step in range(1, 40):
        place = Place(tmp_path / str(step))
        place.fill("db")
        with place.open("db") as db:
            db.snapshot("s")
            db.drop_collection("words")
            db.flush()
            db.maintain()
            with store_of_next_open(place) as store, place.open("db", read_only=True) as origin:

                def collect() -> None:
                    store.delay = lambda: None
                    db.drop_snapshot("s")
                    db.maintain()

                reached = at_step(store, step, collect)
                origin.clone(place.folder / "copy", at="s")
            if reached:
                steps += 1
                db.maintain()
        assert place.ids("copy") == list(range(6))
        assert [pin.state for pin in place.pins()] == ["held"]
        if not reached:
            break
    assert steps > 3


def test_a_clone_of_a_clone_outlives_the_one_between(place: Place) -> None:
    with place.open("db") as db:
        db.clone(place.folder / "second")
    with place.open("second") as second:
        second.clone(place.folder / "third")
    place.drop("second")
    with place.open("db") as db:
        db.drop_collection("words")
        db.flush()
        db.maintain()
    assert place.ids("third") == list(range(6))
    place.drop("db")
    assert place.ids("third") == list(range(6))
    place.drop("third")
    assert place.pins() == []


def test_a_takeover_at_any_step_of_a_collection_of_garbage(tmp_path: Path) -> None:
    outcomes = set()
    for step in range(1, 20):
        place = Place(tmp_path / str(step))
        place.fill("db")
        copied_directory(place, "copy")
        with store_of_next_open(place) as store:
            db = place.open("db")
        db.drop_collection("words")
        db.flush()
        taken: list[bool] = []

        def take_over(place: Place = place, taken: list[bool] = taken) -> None:
            try:
                place.open("copy", copied="take_over").close()
                taken.append(True)
            except CorruptionError:
                taken.append(False)

        at_step(store, step, take_over)
        with suppress(TiervdbError):
            db.maintain()
        with suppress(TiervdbError):
            db.close()
        if not taken:
            break
        outcomes.add(taken[0])
        if taken[0]:
            assert place.ids("copy") == list(range(6))
    assert outcomes == {True, False}


def test_a_reader_that_comes_while_a_database_is_dropped(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    readers: list[Database] = []
    original = drop._refuse_readers

    def then_a_reader(local: OsDir) -> None:
        original(local)
        if not readers:
            readers.append(place.open("db", read_only=True))

    monkeypatch.setattr(drop, "_refuse_readers", then_a_reader)
    with pytest.raises(DatabaseLockedError, match="being read"):
        place.drop("db")
    assert len(readers[0]["words"].search([0.0], k=10, exact=True)) == 6
    readers[0].close()
    assert place.ids("db") == list(range(6))


def test_a_reader_that_is_too_late_for_a_drop_is_told(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    original = opening.Reader.newest

    def dropped_meanwhile(env: object) -> object:
        reader = original(env)  # type: ignore[arg-type]
        place.local("db").rename(paths.IDENTITY, paths.DROPPED)
        return reader

    monkeypatch.setattr(opening.Reader, "newest", dropped_meanwhile)
    with pytest.raises(NotADatabaseError, match="being dropped"):
        place.open("db", read_only=True)


def test_a_drop_that_was_cut_short_goes_on(tmp_path: Path) -> None:
    for step in range(1, 30):
        place = Place(tmp_path / str(step))
        place.fill("db")
        with place.open("db") as db:
            db.clone(place.folder / "copy")
        place.fill("copy", range(10, 12))
        store = FaultyStore(place.store)
        store.plan.fail(StoreUnavailableError("away"), at=step)
        with suppress(StoreUnavailableError):
            place.drop("copy", store)
        if (place.folder / "copy" / paths.IDENTITY).exists():
            assert place.ids("copy") == [*range(6), 10, 11]
        if list(place.local("copy").walk("")):
            place.drop("copy")
        else:
            break
        assert list(place.local("copy").walk("")) == []
        assert place.pins() == []
        assert (len(place.objects()), place.deletions()) == (3, [])
        assert place.ids("db") == list(range(6))
    assert step > 5


def test_garbage_is_collected_at_any_step_of_a_takeover(tmp_path: Path) -> None:
    outcomes = set()
    for step in range(1, 20):
        place = Place(tmp_path / str(step))
        place.fill("db")
        copied_directory(place, "copy")
        db = place.open("db")
        db.drop_collection("words")
        db.flush()

        def collect(db: Database = db) -> None:
            with suppress(TiervdbError):
                db.maintain()

        with store_of_next_open(place) as store:
            reached = at_step(store, step, collect)
            try:
                place.open("copy", copied="take_over").close()
                is_whole = True
            except CorruptionError:
                is_whole = False
        with suppress(TiervdbError):
            db.close()
        if is_whole:
            assert place.ids("copy") == list(range(6))
        if not reached:
            break
        outcomes.add(is_whole)
    assert outcomes == {True, False}
