"""Opening a repository with the right key, the wrong one, damaged ones, and where somebody tampered with it."""

from __future__ import annotations

import pytest

from tests.backup.conftest import World
from tiervdb.backup.keys import Key
from tiervdb.backup.repository import Repository
from tiervdb.errors import CorruptionError, InvalidInputError, WrongKeyError
from tiervdb.format import documents
from tiervdb.format import repository_documents as formats


def key(world: World, name: str) -> Key:
    path = world.folder / f"{name}.key"
    path.write_bytes(name.encode() * 20)
    return Key.file(path)


def opened(world: World, name: str | None) -> Repository:
    given = None if name is None else key(world, name)
    return Repository(world.folder / "r", key=given, clock=world.clock, rng=world.rng)


@pytest.fixture
def sealed(world: World) -> Repository:
    """One that the keys a and b open."""
    given = key(world, "a")
    made = Repository.create(world.folder / "r", encrypted=True, key=given, clock=world.clock, rng=world.rng)
    made.add_key(key(world, "b"))
    return made


def test_the_wrong_key_and_none(world: World, sealed: Repository) -> None:
    with pytest.raises(WrongKeyError, match=r"c.key opens none of the repository's 2 keys"):
        opened(world, "c").backups()
    with pytest.raises(WrongKeyError, match=r"is encrypted: give key="):
        opened(world, None).backups()


def test_a_damaged_key_does_not_keep_the_other_one_out(world: World, sealed: Repository) -> None:
    first, second = (world.folder / "r" / "keys" / id for id in sealed.keys())  # noqa: SIM118
    kept = first.read_bytes()
    for damaged in (first, second):
        whole = damaged.read_bytes()
        damaged.write_bytes(whole[: len(whole) // 2])
        doors = []
        for name in ("a", "b"):
            try:
                doors.append(opened(world, name).backups())
            except CorruptionError as error:
                assert damaged.name in str(error)  # noqa: PT017
        assert doors == [[]]
        damaged.write_bytes(whole)
    first.write_bytes(kept[:-9])
    works = next(name for name in ("a", "b") if can_open(world, name))
    opened(world, works).remove_key(first.name)
    assert opened(world, works).keys() == [second.name]


def can_open(world: World, name: str) -> bool:
    try:
        opened(world, name).open()
    except CorruptionError:
        return False
    return True


def test_a_key_that_is_not_there_cannot_be_removed(world: World, sealed: Repository) -> None:
    for id in ("0" * 32, "../repository.json", ""):
        with pytest.raises(InvalidInputError, match="has no key"):
            sealed.remove_key(id)
    assert len(sealed.keys()) == 2


def test_a_key_is_not_taken_for_a_plain_one(world: World, sealed: Repository) -> None:
    """Who can write to the store must not get plain bytes of the next backup by saying that it is not encrypted."""
    path = world.folder / "r" / "repository.json"
    told = formats.decode_repository(path.read_bytes(), "repository.json")
    lie = formats.RepositoryDocument(id=told.id, created_us=told.created_us, encrypted=False, probe=told.probe)
    path.write_bytes(documents.encode(lie))
    with pytest.raises(WrongKeyError, match="says that it is not encrypted"):
        opened(world, "a").backups()
    with pytest.raises(WrongKeyError, match="says that it is not encrypted"):
        opened(world, "a").open_or_create()


def test_a_slot_of_another_repository_does_not_open(world: World, sealed: Repository) -> None:
    other = Repository.create(
        world.folder / "other", encrypted=True, key=key(world, "d"), clock=world.clock, rng=world.rng
    )
    (id,) = other.keys()
    (world.folder / "r" / "keys" / id).write_bytes((world.folder / "other" / "keys" / id).read_bytes())
    with pytest.raises(WrongKeyError, match="3 keys"):
        opened(world, "d").backups()
