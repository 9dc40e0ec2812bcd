"""Expiry beside a backup, a copy and a lazy restore, with their calls of the store in every order that matters.

Whatever the order, what is listed in the end is whole, and a restore either has all it needs or says why not.
"""

from __future__ import annotations

import random
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.backup.conftest import World, create, ids_of, put
from tests.backup.test_backup import made
from tests.support.turns import Plan, Turns, TurnStore
from tiervdb.backup import expiry, holdings, merging, opened
from tiervdb.backup.create import Wish
from tiervdb.backup.create import create as create_backup
from tiervdb.backup.lineage import take_epoch
from tiervdb.backup.pace import Limits
from tiervdb.backup.repository import Repository
from tiervdb.backup.source import Source
from tiervdb.engine import identity as identities
from tiervdb.engine.identity import this_process
from tiervdb.engine.manifest_store import ManifestStore
from tiervdb.errors import BackupNotFoundError, OutsideWindowError
from tiervdb.storage.open import open_store
from tiervdb.storage.os_dir import OsDir
from tiervdb.target import Target

ONE = Limits(parallel=1)
Work = Callable[["Race", Repository], None]


@dataclass
class Race:
    """A repository with two backups, the older of which is expired while something else goes on."""

    world: World
    template: Path
    expected: dict[str, list[int]]  # by backup
    wanted: list[int] | None = None  # what was restored

    def repository(self, store: TurnStore | None = None) -> Repository:
        repository = self.world.repository()
        if store is not None:
            repository._opened = opened.open_in(store, None, self.world.clock, self.world.rng)
        return repository

    def begin(self) -> None:
        for name in ("db", "repository", "offsite", "lazy"):
            shutil.rmtree(self.world.folder / name, ignore_errors=True)
        for name in ("db", "repository"):
            shutil.copytree(self.template / name, self.world.folder / name, copy_function=_link)

    def first_backup(self) -> str:
        return next(iter(self.expected))


def _link(source: str, target: str) -> None:
    Path(target).hardlink_to(source)


@pytest.fixture
def race(world: World, monkeypatch: pytest.MonkeyPatch) -> Race:
    """The log of the newest commits is in parts that are old enough to be merged."""
    monkeypatch.setattr(merging, "FEWEST", 2)
    expected = {}
    with world.open() as db:
        create(db)
        put(db, 0, 40)
        db.flush()
        expected[made(db).id] = ids_of(db)
        world.tick()
        for first in range(100, 140, 10):
            put(db, first, 10)
            db.archive()
        db.flush()
    world.tick(merging.YOUNG_US / 1e6)
    template = world.folder / "template"
    template.mkdir()
    for name in ("db", "repository"):
        (world.folder / name).rename(template / name)
    return Race(world, template, expected)


def back_up(race: Race, repository: Repository) -> None:
    """An increment on top of the backup that is being expired."""
    found = repository.open()
    local = OsDir(race.world.folder / "db", sync=False)
    identity = identities.read(local)
    manifest = ManifestStore(local, 0).current()
    source = Source(
        local, open_store(local.path("cold")), identity, manifest, manifest.flushed_seq, manifest.flushed_time_us, ()
    )
    epoch = take_epoch(found.vault, identity, this_process())
    wish = Wish(limits=ONE)
    backup = create_backup(
        found.vault, source, wish, lambda: epoch, found.id, lambda: list(holdings.read(found.vault).backups), None
    )
    race.expected[backup.id] = sorted([*range(40), *range(100, 140)])


def copy(race: Race, repository: Repository) -> None:
    repository.copy_to(
        Repository(race.world.folder / "offsite", clock=race.world.clock, rng=race.world.rng), limits=ONE
    )


def restore(race: Race, repository: Repository) -> None:
    try:
        repository.restore(race.world.folder / "lazy", Target.backup(race.first_backup()), lazy=True, limits=ONE)
    except (OutsideWindowError, BackupNotFoundError):  # it was expired before the restore had its lease
        assert not (race.world.folder / "lazy").exists()


def replay(race: Race, repository: Repository) -> None:
    """By the parts that are being merged. Nothing expires, so nothing is an excuse."""
    race.wanted = [*range(40), *range(100, 140)]
    repository.restore(race.world.folder / "lazy", Target.latest(), limits=ONE)


def expire(race: Race, repository: Repository) -> None:
    vault = repository.open().vault
    listed = [b for b in holdings.read(vault).backups if b.id == race.first_backup()]
    expiry.unlist(vault, listed, "a test")
    expiry.sweep(vault, {})


def expire_and_merge(race: Race, repository: Repository) -> None:
    merging.run(repository.open().vault, dry_run=False)
    if race.wanted is None:
        expire(race, repository)


def run(race: Race, work: Work, plan: Plan) -> dict[str, int]:
    """Both side by side, in the order of the plan; how many calls each made."""
    race.begin()
    race.expected = dict(list(race.expected.items())[:1])
    race.wanted = None
    turns = Turns(plan)
    failures: list[BaseException] = []

    def act(name: str, action: Work) -> None:
        store = TurnStore(open_store(race.world.repository().location, create=False), name, turns)
        repository = race.world.repository()
        repository._opened = opened.open_in(store.inner, None, race.world.clock, race.world.rng)
        repository._opened.vault.store = store
        try:
            action(race, repository)
        except BaseException as error:
            failures.append(error)
        finally:
            turns.end(name)

    threads = [
        threading.Thread(target=act, args=("work", work)),
        threading.Thread(target=act, args=("expire", expire_and_merge)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return turns.made


def check(race: Race) -> None:
    """All that is listed is whole and can be restored; what was lazily restored can be fetched to its end."""
    for name in ("repository", "offsite"):
        if not (race.world.folder / name / "repository.json").exists():
            continue
        repository = race.world.repository(name)
        report = repository.verify(deep=True)
        assert report.ok, report.findings
        for backup in repository.backups():
            repository.restore(race.world.folder / "check", Target.backup(backup.id))
            with race.world.open_alone("check") as db:
                assert ids_of(db) == race.expected[backup.id]
            shutil.rmtree(race.world.folder / "check")
    if (race.world.folder / "lazy").exists():
        with race.world.open_alone("lazy", race.world.repository()) as db:
            db.hydrate()
            assert ids_of(db) == (race.wanted or race.expected[race.first_backup()])


def two_switches(calls: dict[str, int], stride: int) -> Iterator[Plan]:
    """One makes i calls, the other j, then the first goes on to its end; both ways round."""
    for first, second in (("work", "expire"), ("expire", "work")):
        for i in range(0, calls[first] + 1, stride):
            for j in range(1, calls[second] + 1, stride):
                yield [(first, i), (second, j), (first, 1000), (second, 1000)]


WORKS = {"backup": back_up, "copy": copy, "restore": restore, "replay": replay}


@pytest.mark.parametrize("work", WORKS.values(), ids=WORKS)
def test_two_switches(race: Race, work: Work) -> None:
    calls = run(race, work, [])
    check(race)
    for plan in two_switches(calls, stride=17):
        run(race, work, plan)
        check(race)


@pytest.mark.parametrize("work", WORKS.values(), ids=WORKS)
def test_random_orders(race: Race, work: Work) -> None:
    chance = random.Random(3)
    for _ in range(12):
        plan = [(chance.choice(["work", "expire"]), chance.randrange(1, 8)) for _ in range(30)]
        run(race, work, plan)
        check(race)


@pytest.mark.slow
@pytest.mark.parametrize("work", WORKS.values(), ids=WORKS)
def test_every_two_switches(race: Race, work: Work) -> None:
    calls = run(race, work, [])
    for plan in two_switches(calls, stride=1):
        run(race, work, plan)
        check(race)


@pytest.mark.slow
@pytest.mark.parametrize("work", WORKS.values(), ids=WORKS)
@pytest.mark.parametrize("seed", range(34))
def test_many_random_orders(race: Race, work: Work, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(100):
        plan = [(chance.choice(["work", "expire"]), chance.randrange(1, 8)) for _ in range(40)]
        run(race, work, plan)
        check(race)
