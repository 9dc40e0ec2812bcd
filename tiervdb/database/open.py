"""Opening and dropping databases."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from os import PathLike
from typing import Literal, TypeVar

from msgspec.structs import replace as replace_identity

from tiervdb.backup.hydrate import BackgroundHydration
from tiervdb.backup.repository import Repository
from tiervdb.clock import Clock, SystemClock
from tiervdb.config import Durability, Options, TierPolicy
from tiervdb.database import connecting, forgotten
from tiervdb.database.arguments import to_path
from tiervdb.database.database import Database
from tiervdb.database.protection import ArchiveMode, Behind, Protection
from tiervdb.database.session import Session
from tiervdb.engine import drop as dropping
from tiervdb.engine import identity as identities
from tiervdb.engine import open as engine
from tiervdb.errors import DatabaseLockedError, InvalidInputError, NotADatabaseError
from tiervdb.format import paths
from tiervdb.storage.local_dir import LocalDir
from tiervdb.storage.open import Store, open_store
from tiervdb.storage.os_dir import OsDir

_T = TypeVar("_T")

READER = "opened with read_only=True; open it without to write"


def open(
    path: str | PathLike[str],
    *,
    cold: str | PathLike[str] | Store | None = None,
    repository: str | PathLike[str] | Store | Repository | None = None,
    create: bool = True,
    read_only: bool = False,
    durability: Durability = "fsync",
    archive: ArchiveMode = "async",
    archive_behind: Behind = "keep",
    source: Repository | None = None,
    copied: Literal["take_over", "clone"] | None = None,
    cache_bytes: int | None = None,
    tiering: TierPolicy | None = None,
    options: Options | None = None,
) -> Database:
    """Opens the database in a directory, and creates it if there is none.

    ``cold``: where cold segments live, a directory, ``s3://bucket/prefix`` or another fsspec URL, or a ``Store`` with
    credentials; a subdirectory unless given. The URL is remembered, and a different one raises SettingsMismatchError.
    ``repository``: where backups and the archived log go, a URL, or a ``Repository`` with credentials or a key; made
    if there is none, and remembered likewise. ``archive``: "async" ships the log every second, "sync" acknowledges a
    commit only once it is archived, and refuses one that could not be restored (a backup may have to be made first);
    "off" ships nothing. ``archive_behind``: what happens when the repository is away
    for long and the log here grows above ``Options.archive_behind_bytes``: "keep" it, "stall" writers, or "drop" what
    is flushed, which leaves a gap that only a new backup ends.
    ``source``: the repository that a lazy restore was made from, where it needs credentials or a key to get the rest.
    ``create=False``: raise NotADatabaseError instead of creating. ``read_only``: any process may read beside the one
    that writes; ``refresh()`` moves to the newest commit. ``durability``: a commit is acknowledged once it is synced to
    disk ("fsync"), or once the operating system has it ("os": survives kill -9, not a power loss).
    ``copied``: what a copied directory is to be: "take_over" if the original is gone, or "clone" for a new database.
    ``cache_bytes``: disk for ranges read from the cold store (1 GiB). ``tiering``: when segments move between the tiers
    by themselves; not remembered. None: only when asked. ``options``: for tests and benchmarks.

    Raises an OpenError (NotADatabaseError, DatabaseLockedError, CopiedDatabaseError, NewerFormatError),
    CorruptionError, SettingsMismatchError or InvalidInputError; RepositoryInUseError for a new database and a
    repository that holds one, FencedError if another one took over there, ArchiveConflictError.
    """
    if options is not None and not isinstance(options, Options):
        raise InvalidInputError(f"open: options={options!r} is not usable; give tiervdb.Options(...)")
    if tiering is not None and not isinstance(tiering, TierPolicy):
        raise InvalidInputError(f"open: tiering={tiering!r} is not usable; give tiervdb.TierPolicy(...)")
    if durability not in {"fsync", "os"}:
        raise InvalidInputError(f'open: durability={durability!r} is not known; give "fsync" or "os"')
    if copied not in {None, "take_over", "clone"}:
        raise InvalidInputError(f'open: copied={copied!r} is not known; give "take_over" or "clone"')
    if archive not in {"off", "async", "sync"}:
        raise InvalidInputError(f'open: archive={archive!r} is not known; give "async", "sync" or "off"')
    if archive_behind not in {"keep", "stall", "drop"}:
        raise InvalidInputError(f'open: archive_behind={archive_behind!r} is not known; give "keep", "stall" or "drop"')
    if archive == "sync" and archive_behind == "drop":
        raise InvalidInputError(
            'open: archive="sync" acknowledges nothing that is not archived, so archive_behind="drop" has nothing to '
            'drop; give "keep"'
        )
    store = _store(cold)
    if store is not None:
        open_store(store, create=False)  # a URL that cannot be used is said before a directory is made
    chosen = options or Options()
    if cache_bytes is not None:
        chosen = replace(chosen, cache_bytes=cache_bytes)
    if tiering is not None:
        chosen = replace(chosen, tiering=tiering)
    setting = engine.Setting(store, durability, copied, create, chosen)
    protecting = Protecting(repository, source, archive, archive_behind)
    return open_in(
        _directory(path), setting, SystemClock(), random.SystemRandom(), read_only=read_only, protecting=protecting
    )


def _directory(path: str | PathLike[str]) -> OsDir:
    directory = to_path(path, "the database's directory")
    if directory.is_file():
        raise NotADatabaseError(f"{path} is a file, not a tiervdb database; give the path of a directory")
    return OsDir(directory)


@dataclass(frozen=True)
class Protecting:
    """What an opener said of the repository."""

    repository: connecting.Given = None
    source: Repository | None = None
    mode: ArchiveMode = "async"
    behind: Behind = "keep"


def open_in(
    local: LocalDir,
    setting: engine.Setting,
    clock: Clock,
    rng: random.Random,
    *,
    read_only: bool,
    protecting: Protecting = Protecting(),
) -> Database:
    """Opens with everything that tests and simulations replace: the disk, the clock, randomness."""
    known = identities.read(local) if local.exists(paths.IDENTITY) else None
    if known is not None and setting.copied == "clone":
        known = replace_identity(known, repository_url=None)
    repository = connecting.repository_for(protecting.repository, known)
    if repository is not None:
        connecting.require_apart(local, repository)
    coming = connecting.hydration_of(local, protecting.source or repository)
    hydrator = None
    if coming is not None:
        local, hydrator = coming
    if read_only:
        reader, identity = engine.open_reader(local, setting, clock, rng)
        return Database(Session(reader, identity, clock, READER, repository=repository, hydrator=hydrator))
    if repository is not None:
        if known is not None or setting.create:
            connecting.prepare(repository, known)
        before = partial(connecting.bring_back, repository) if known is not None else None
        setting = replace(setting, repository_url=repository.url, before_recovery=before)
    shard, identity = _unless_forgotten(lambda: engine.open_shard(local, setting, clock, rng))
    protection = None
    if repository is not None:
        protection = Protection(shard.core, identity, repository, protecting.mode, protecting.behind, clock)
        shard.last_acts.append(protection.stop)
    if hydrator is not None and setting.options.background:
        shard.last_acts.append(BackgroundHydration(hydrator).stop)
    return Database(
        Session(shard, identity, clock, None, repository=repository, protection=protection, hydrator=hydrator)
    )


def drop(path: str | PathLike[str], *, cold: Store | None = None) -> None:
    """Deletes a database for good: its directory, its own cold objects, and its pins on those of others.

    Objects that clones still need stay. ``cold``: a ``Store`` with credentials, if its cold store needs them.
    Raises NotADatabaseError, DatabaseLockedError if it is open, CopiedDatabaseError if it is a copy, FencedError if a
    copy took over, StoreUnavailableError or StoreRefusedError.
    """
    local = _directory(path)
    cold_url = dropping.identity_of(local).cold_url
    store = open_store(cold or cold_url or local.path(paths.COLD_DIR), create=False)
    _unless_forgotten(lambda: dropping.drop(local, store, SystemClock(), random.SystemRandom()))
    local.remove_empty_folders()


def _unless_forgotten(action: Callable[[], _T]) -> _T:
    """Once more after a lock was in the way that an object which is only garbage may have held."""
    try:
        return action()
    except DatabaseLockedError:
        forgotten.wait_for_all()
    return action()


def _store(cold: str | PathLike[str] | Store | None) -> Store | None:
    if cold is None or isinstance(cold, Store):
        return cold
    if isinstance(cold, str) and "://" in cold:
        return Store(cold)
    return Store(to_path(cold, "cold= a directory, a URL or a Store"))
