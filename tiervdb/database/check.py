"""Checking a database directory without opening it for writing."""

from __future__ import annotations

from os import PathLike

from tiervdb.backup.repository import Repository
from tiervdb.config import Options
from tiervdb.database.arguments import to_path
from tiervdb.database.connecting import hydration_of
from tiervdb.engine import check as engine
from tiervdb.engine import identity as identities
from tiervdb.engine.check import Finding, Progress
from tiervdb.engine.check import Report as CheckReport
from tiervdb.engine.open import SHARD, make_tools
from tiervdb.errors import CorruptionError
from tiervdb.format import paths
from tiervdb.storage.directory_store import DirectoryStore
from tiervdb.storage.local_dir import LocalDir
from tiervdb.storage.open import Store, open_store
from tiervdb.storage.os_dir import OsDir

__all__ = ["CheckReport", "Finding", "check"]


def check(
    path: str | PathLike[str],
    *,
    cold: Store | None = None,
    source: Repository | None = None,
    progress: Progress = lambda _stage: None,
) -> CheckReport:
    """Verifies all checksums and invariants of a database, and changes nothing; what a lazy restore has left in its
    repository is fetched first. ``source``: that repository, if it needs credentials or a key.

    Reads every byte, also of cold objects. ``cold``: a ``Store`` with credentials, if the cold store needs them.
    Damage is not raised: it is in ``findings``, each with the file, the problem and what to do; ``ok`` is False if one
    is an error. Beside a process that writes, files that come and go meanwhile may be reported.
    Raises NotADatabaseError.
    """
    local: LocalDir = OsDir(to_path(path, "the database's directory"))
    try:
        cold_url = identities.read(local).cold_url
    except CorruptionError as error:
        return CheckReport([Finding("error", paths.IDENTITY, str(error), "restore the file from a clone or a backup")])
    coming = hydration_of(local, source)
    if coming is not None:
        local = coming[0]
    place = cold or cold_url
    store = DirectoryStore(local.sub(paths.COLD_DIR)) if place is None else open_store(place, create=False)
    return engine.check(local, SHARD, store, make_tools(Options()), progress)
