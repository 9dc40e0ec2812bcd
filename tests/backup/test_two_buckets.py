"""Cold tier in one bucket, repository in another, on both servers."""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest

from tests.backup.conftest import World, create, ids_of, put
from tests.backup.test_backup import made
from tests.storage.locked_bucket import locked_endpoint
from tests.support.s3_servers import S3Endpoint
from tiervdb.backup.repository import Repository
from tiervdb.storage.open import Store

pytestmark = pytest.mark.s3


def test_backup_and_restore_between_buckets(world: World, s3_endpoint: S3Endpoint) -> None:
    one, other = s3_endpoint.place(), locked_endpoint(s3_endpoint).place()
    assert str(one.url).split("/")[2] != str(other.url).split("/")[2]
    run = uuid.uuid4().hex
    world.cold = replace(one, url=f"{one.url}/{run}-cold")
    place = replace(other, url=f"{other.url}/{run}-repository")
    repository = Repository(str(place.url), place.storage_options, publish=False, clock=world.clock, rng=world.rng)
    with world.open(repository=repository) as db:
        create(db)
        put(db, 0, 200)
        db.demote("words")
        copied = made(db)
        put(db, 500, 50)
        db.archive()
        expected = ids_of(db)
    assert copied.cold == "copy"
    assert repository.verify(deep=True).ok
    new_cold = Store(f"{one.url}/{run}-restored", one.storage_options)
    repository.restore(world.folder / "back", cold=new_cold)
    world.cold = new_cold
    with world.open_alone("back", repository) as back:
        assert ids_of(back) == expected
        assert back["words"].search([1.0, 0.0, 0.0, 0.0], k=5, exact=True).ids.tolist()
    assert repository.drill().ok
