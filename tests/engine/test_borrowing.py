"""Clones and adopted copies that pin in a shared cold store: whole, undone or recognisable, whatever happens."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from typing import Literal

import pytest

from tests.engine.shared_store import (
    OPTIONS,
    Place,
    copied_directory,
    store_of_next_open,
)
from tests.support.crash_dir import CrashDir, CrashPoint
from tiervdb.database import history
from tiervdb.engine import borrowing
from tiervdb.engine import identity as identities
from tiervdb.engine.check import check
from tiervdb.engine.open import SHARD, make_tools
from tiervdb.errors import DatabaseLockedError, StoreUnavailableError
from tiervdb.format import paths
from tiervdb.storage import place as places


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(tmp_path)
    made.fill("db")
    return made


def test_what_a_crash_left_of_a_clone_is_undone_by_the_next_one(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    with place.open("db") as db, monkeypatch.context() as patched:
        patched.setattr(identities, "write", die)
        with pytest.raises(Killed):
            db.clone(place.folder / "copy")
    assert [pin.state for pin in place.pins()] == ["making"]
    assert not (place.folder / "copy").exists()
    with place.open("db") as db:
        db.clone(place.folder / "copy")
    [pin] = place.pins()
    assert (pin.state, pin.path) == ("held", str(place.folder / "copy"))
    assert pin.holder == identities.read(place.local("copy")).database_id
    assert place.ids("copy") == list(range(6))


def test_a_clone_that_fails_leaves_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise StoreUnavailableError("no room")

    with place.open("db") as db, monkeypatch.context() as patched:
        patched.setattr(identities, "write", full)
        with pytest.raises(StoreUnavailableError):
            db.clone(place.folder / "copy")
    assert place.pins() == []


def test_a_clone_that_was_cut_short_at_its_very_end_finishes_when_opened(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with place.open("db") as db, monkeypatch.context() as patched:
        patched.setattr(borrowing, "finish_if_possible", lambda *_: [])
        db.clone(place.folder / "copy")
    assert [pin.state for pin in place.pins()] == ["making"]
    assert place.ids("copy") == list(range(6))
    assert [pin.state for pin in place.pins()] == ["held"]
    assert list(place.local("copy").list(paths.INTENT_DIR)) == []


def test_pins_that_were_released_before_the_clone_was_finished_are_made_anew(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with place.open("db") as db, monkeypatch.context() as patched:
        patched.setattr(borrowing, "finish_if_possible", lambda *_: [])
        db.clone(place.folder / "copy")
    [old] = place.pins()
    place.store.delete(paths.ColdPinKey(identities.read(place.local("db")).database_id, old.id).key)
    assert place.ids("copy") == list(range(6))
    [new] = place.pins()
    assert (new.state, new.id != old.id, new.keys) == ("held", True, old.keys)
    assert [b.pin for b in identities.read(place.local("copy")).borrowed] == [new.id]


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_request_of_a_clone_fails(tmp_path: Path, when: Literal["before", "after"]) -> None:
    """Also if only the reply was lost."""
    for step in range(1, 30):
        place = Place(tmp_path / str(step))
        place.fill("db")
        with store_of_next_open(place) as store, place.open("db", read_only=True) as origin:
            before = store.plan.calls.total()
            store.plan.fail(StoreUnavailableError("away"), at=step, when=when)
            with suppress(StoreUnavailableError):
                origin.clone(place.folder / "copy")
            is_over = store.plan.calls.total() - before < step
            if not (place.folder / "copy").exists():
                assert place.pins() == []
                origin.clone(place.folder / "copy")
        assert place.ids("copy") == list(range(6))
        assert [pin.state for pin in place.pins()] == ["held"]
        if is_over:
            break
    assert step > 4


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_request_of_an_adoption_fails(tmp_path: Path, when: Literal["before", "after"]) -> None:
    for step in range(1, 30):
        place = Place(tmp_path / str(step))
        place.fill("db")
        copied_directory(place, "copy")
        with store_of_next_open(place) as store:
            store.plan.fail(StoreUnavailableError("away"), at=step, when=when)
            try:
                place.open("copy", copied="clone").close()
            except StoreUnavailableError:
                assert place.pins() == []
                place.open("copy", copied="clone").close()
            is_over = store.plan.calls.total() < step
        assert place.ids("copy") == list(range(6))
        assert [pin.state for pin in place.pins()] == ["held"]
        if is_over:
            break
    assert step > 6


def test_the_checker_misses_a_pin_that_was_released(place: Place) -> None:
    with place.open("db") as db:
        db.clone(place.folder / "copy")
        [pin] = db.pins()
        db.release_pin(pin.id)
    report = check(place.local("copy"), SHARD, place.store, make_tools(OPTIONS))
    assert [(f.file.endswith(pin.id), "was released" in f.problem) for f in report.findings] == [(True, True)]
    assert not report.ok


def test_two_clones_to_one_path_do_not_mix(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    original = borrowing.take

    def meanwhile(*arguments: object) -> object:
        monkeypatch.setattr(borrowing, "take", original)
        with place.open("db", read_only=True) as other, pytest.raises(DatabaseLockedError, match="being made"):
            other.clone(place.folder / "copy")
        return original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(borrowing, "take", meanwhile)
    with place.open("db") as db:
        db.clone(place.folder / "copy")
    assert place.ids("copy") == list(range(6))
    assert len(place.pins()) == 1


def test_an_adoption_that_was_cut_short_leaves_no_pin_when_repeated(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    copied_directory(place, "copy")
    with monkeypatch.context() as patched:
        patched.setattr(identities, "write", die)
        with pytest.raises(Killed):
            place.open("copy", copied="clone")
    assert [pin.state for pin in place.pins()] == ["making"]
    place.open("copy", copied="clone").close()
    assert [pin.state for pin in place.pins()] == ["held"]
    assert place.ids("copy") == list(range(6))


def test_a_copy_of_an_unfinished_clone_leaves_its_pins_alone(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with place.open("db") as db, monkeypatch.context() as patched:
        patched.setattr(borrowing, "finish_if_possible", lambda *_: [])
        db.clone(place.folder / "copy")
    shutil.copytree(place.folder / "copy", place.folder / "again")
    place.open("again", copied="clone").close()
    assert sorted(pin.state for pin in place.pins()) == ["held", "making"]
    assert place.ids("copy") == place.ids("again") == list(range(6))
    assert [pin.state for pin in place.pins()] == ["held", "held"]


def test_history_clones_through_the_store_of_the_session(place: Place) -> None:
    """The tests above rely on it."""
    with store_of_next_open(place) as store, place.open("db") as db:
        before = store.plan.calls.total()
        history.clone(db._session, place.folder / "copy", history.to_target(None, None, None))
        assert store.plan.calls.total() > before


class Killed(BaseException):
    """As kill -9: nobody handles it."""


def survives(place: Place) -> None:
    """What a killed clone left: nothing that counts, or a clone that keeps its objects whatever the owner does."""
    is_there = (place.folder / "copy").exists()
    assert {pin.state for pin in place.pins()} <= {"making", "held"}
    with place.open("db") as db:
        if not is_there:
            db.clone(place.folder / "copy")
        db.drop_collection("words")
        db.flush()
        db.maintain()
    assert place.ids("copy") == list(range(6))
    assert [pin.state for pin in place.pins()] == ["held"]
    place.drop("copy")
    assert place.pins() == []


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_clone_is_killed_at_a_request(tmp_path: Path, when: Literal["before", "after"]) -> None:
    for step in range(1, 30):
        place = Place(tmp_path / str(step))
        place.fill("db")
        with store_of_next_open(place) as store, place.open("db") as db:
            before = store.plan.calls.total()
            store.plan.fail(Killed(), at=step, when=when)
            with suppress(Killed):
                db.clone(place.folder / "copy")
            is_over = store.plan.calls.total() - before < step
            store.plan.heal()
        survives(place)
        if is_over:
            break
    assert step > 4


@pytest.mark.parametrize("power", [True, False])
def test_a_clone_is_killed_at_a_step_on_its_disk(tmp_path: Path, power: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "inode", lambda _: 1)  # what was not synced comes back under another one
    for step in range(1, 200, 3):
        place = Place(tmp_path / str(step))
        place.fill("db")
        disk = CrashDir(place.folder)
        disk.crash_disk.crash_at = step
        with place.open("db") as db, monkeypatch.context() as patched:
            patched.setattr(history, "OsDir", lambda _, disk=disk: disk)
            with suppress(CrashPoint):
                db.clone(place.folder / "copy")
        is_over = not disk.crash_disk.crashed
        disk.drop_unsynced(step) if power else disk.kill()
        survives(place)
        if is_over:
            break
    assert step > 20


def test_garbage_collection_does_not_forget_that_a_clone_is_unfinished(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with place.open("db") as db, monkeypatch.context() as patched:
        patched.setattr(borrowing, "finish_if_possible", lambda *_: [])
        db.clone(place.folder / "copy")
        with place.open("copy") as copy:  # the store is away for a moment
            copy["words"].upsert(ids=[9], vectors=[[9.0]])
            copy.drop_collection("words")
            copy.flush()
            copy.maintain()
    assert [pin.state for pin in place.pins()] == ["making"]
    place.open("copy").close()
    assert [pin.state for pin in place.pins()] == ["held"]
