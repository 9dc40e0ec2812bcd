"""Clones and copies that pin in a shared cold store while its owner deletes there, step against step."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from tests.support.faulty_store import FaultyStore
from tiervdb.clock import ManualClock
from tiervdb.config import Options
from tiervdb.database import history
from tiervdb.database.database import Database
from tiervdb.database.open import open_in
from tiervdb.engine import borrowing, drop
from tiervdb.engine import identity as identities
from tiervdb.engine import open as opening
from tiervdb.engine.check import check
from tiervdb.engine.open import SHARD, Setting, make_tools
from tiervdb.errors import CorruptionError, DatabaseLockedError, NotADatabaseError, StoreUnavailableError, TiervdbError
from tiervdb.format import documents, paths
from tiervdb.format.documents import Pin
from tiervdb.storage.directory_store import DirectoryStore
from tiervdb.storage.open import Store
from tiervdb.storage.os_dir import OsDir

OPTIONS = Options(flush_floats=10**6, background=False, search_threads=1)


class Place:
    """A folder of databases that share a cold store; each is opened as by a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = ManualClock()
        self.rng = random.Random(3)
        self.store = DirectoryStore(OsDir(folder / "store", sync=False))

    def local(self, name: str) -> OsDir:
        return OsDir(self.folder / name, sync=False)

    def open(self, name: str, *, copied: str | None = None, read_only: bool = False) -> Database:
        setting = Setting(Store(str(self.folder / "store")), copied=copied, options=OPTIONS)  # type: ignore[arg-type]
        return open_in(self.local(name), setting, self.clock, self.rng, read_only=read_only)

    def fill(self, name: str, ids: range = range(6)) -> None:
        with self.open(name) as db:
            words = db.create_collection("words", dim=1, metric="l2", id_type="int64", exist_ok=True)
            words.upsert(ids=list(ids), vectors=np.array([[float(n)] for n in ids], np.float32))
            db.demote("words")

    def ids(self, name: str) -> list[int]:
        """By an exact search, which reads the cold store; and the checker finds nothing."""
        with self.open(name) as db:
            found = sorted(db["words"].search([0.0], k=100, exact=True).ids.tolist()) if "words" in db else []
        local = self.local(name)
        report = check(local, SHARD, self.store, make_tools(OPTIONS))
        assert report.ok, report.findings
        return found

    def drop(self, name: str, store: FaultyStore | None = None) -> None:
        drop.drop(self.local(name), store or self.store, self.clock, self.rng)

    def pins(self) -> list[Pin]:
        keys = [f.key for f in self.store.list("") if isinstance(paths.parse_key(f.key), paths.ColdPinKey)]
        return [documents.decode_pin(self.store.get(key), key) for key in keys]

    def objects(self) -> list[str]:
        return [f.key for f in self.store.list("") if isinstance(paths.parse_key(f.key), paths.ObjectKey)]

    def deletions(self) -> list[str]:
        return [f.key for f in self.store.list("") if isinstance(paths.parse_key(f.key), paths.DeletionKey)]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(tmp_path)
    made.fill("db")
    return made


def at_step(store: FaultyStore, step: int, action: Callable[[], None]) -> list[bool]:
    """Calls back before the ``step``-th request. The answer gets an entry when that was reached."""
    left, reached = [step], list[bool]()

    def count() -> None:
        left[0] -= 1
        if left[0] == 0:
            reached.append(True)
            action()

    store.delay = count
    return reached


@contextmanager
def store_of_next_open(place: Place) -> Iterator[FaultyStore]:
    """What the next database reaches its cold store through."""
    faulty = FaultyStore(place.store)
    original = opening._cold_store
    opening._cold_store = lambda *_: faulty  # type: ignore[assignment]
    try:
        yield faulty
    finally:
        opening._cold_store = original


def one_of_both(place: Place, name: str, outcome: TiervdbError | None) -> bool:
    """The copy has all its rows, or was refused. True if it has them."""
    if outcome is None:
        assert place.ids(name) == list(range(6))
    return outcome is None


def copied_directory(place: Place, name: str) -> None:
    shutil.copytree(place.folder / "db", place.folder / name)


def adopted(place: Place, name: str) -> TiervdbError | None:
    try:
        place.open(name, copied="clone").close()
    except TiervdbError as error:
        return error
    return None


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
        assert len(place.objects()) == outcomes[-1]
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
        assert len(place.objects()) == outcomes[-1]
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
        assert (len(place.objects()), place.deletions()) == (1, [])
        assert place.ids("db") == list(range(6))
    assert step > 5


def test_history_clones_through_the_store_of_the_session(place: Place) -> None:
    """The tests above rely on it."""
    with store_of_next_open(place) as store, place.open("db") as db:
        before = store.plan.calls.total()
        history.clone(db._session, place.folder / "copy", history.to_target(None, None, None))
        assert store.plan.calls.total() > before
