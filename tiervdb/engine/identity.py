"""Who a database is, and whether its directory is still the one that it was made in."""

from __future__ import annotations

import random

import msgspec

from tiervdb.clock import Clock
from tiervdb.errors import CopiedDatabaseError, NotADatabaseError, ObjectNotFoundError
from tiervdb.format import documents, paths
from tiervdb.format.documents import Identity, Owner, Place, TimelineRecord
from tiervdb.storage import place
from tiervdb.storage.local_dir import LocalDir
from tiervdb.version import VERSION


def read(local: LocalDir) -> Identity:
    """The identity of the database in a directory; NotADatabaseError if there is none."""
    try:
        data = local.read(paths.IDENTITY)
    except ObjectNotFoundError:
        if local.exists(paths.DROPPED):
            raise NotADatabaseError(
                f"the database in {local.root} is being dropped, or was when that stopped; tiervdb.drop() ends it"
            ) from None
        raise NotADatabaseError(
            f"{local.root} is not a tiervdb database: it has no {paths.IDENTITY}. Give the path of a database, or a "
            "new or empty directory to create one"
        ) from None
    return documents.decode_identity(data, str(local.path(paths.IDENTITY)))


def write(local: LocalDir, identity: Identity) -> None:
    """Replaces the identity, durably."""
    local.write_atomic(paths.IDENTITY, documents.encode(identity))


def new(local: LocalDir, clock: Clock, rng: random.Random, cold_url: str | None) -> Identity:
    """A new database with a timeline of its own."""
    now_us = clock.now_us()
    return Identity(
        database_id=paths.random_id(rng),
        shards=1,
        timeline=TimelineRecord(id=paths.random_id(rng), created_us=now_us),
        created_us=now_us,
        place=here(local),
        cold_url=cold_url,
    )


def this_process() -> Owner:
    """Who writes a document."""
    pid, host = place.owner()
    return Owner(pid=pid, host=host, user=place.user(), version=VERSION)


def here(local: LocalDir) -> Place:
    """Where the directory lies now."""
    return Place(inode=place.inode(local.root), machine=place.machine())


def was_copied(local: LocalDir, identity: Identity) -> bool:
    """Whether the directory lies elsewhere than recorded. A machine without an id matches any."""
    now, then = here(local), identity.place
    machines_differ = bool(now.machine and then.machine) and now.machine != then.machine
    return now.inode != then.inode or machines_differ


def refuse_copy(local: LocalDir) -> CopiedDatabaseError:
    """The error for a copied directory whose opener did not say what it is to be."""
    return CopiedDatabaseError(
        f"{local.root} is a copy of a database's directory (or was moved to another machine or file system). Say what "
        "it is to be: "
        'open(..., copied="take_over") if the original is gone and this one goes on in its place, '
        'open(..., copied="clone") to make it a database of its own. db.clone() makes copies that need no such word'
    )


def forked(
    identity: Identity, local: LocalDir, clock: Clock, rng: random.Random, seq: int, time_us: int, database_id: str
) -> Identity:
    """The identity after a takeover (same database id) or as a clone (another one): a new timeline from ``seq`` on."""
    timeline = TimelineRecord(
        id=paths.random_id(rng),
        created_us=clock.now_us(),
        parent=identity.timeline.id,
        parent_database=identity.database_id,
        fork_seqs=(seq,),
        fork_time_us=time_us,
    )
    same = database_id == identity.database_id  # another database archives nowhere until it is attached
    return msgspec.structs.replace(
        identity,
        repository_url=identity.repository_url if same else None,
        database_id=database_id,
        timeline=timeline,
        ancestors=(identity.timeline, *identity.ancestors),
        place=here(local),
    )
