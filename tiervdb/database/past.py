"""``Database.at`` for what is held here no more: a lazy restore from the repository, for as long as it is open."""

from __future__ import annotations

import logging
import shutil
import tempfile
from pathlib import Path

from tiervdb.backup import hydrate, leases
from tiervdb.backup.repository import Repository
from tiervdb.config import Options
from tiervdb.database.connecting import hydration_of
from tiervdb.database.session import Session
from tiervdb.engine import open as engine
from tiervdb.errors import TiervdbError
from tiervdb.storage.os_dir import OsDir
from tiervdb.target import Target

_log = logging.getLogger("tiervdb")


def session_from_repository(session: Session, repository: Repository, target: Target) -> Session:
    """The state at a target, read from the repository as it is touched. Raises what Repository.plan raises."""
    folder = Path(tempfile.mkdtemp(prefix="tiervdb-at-"))
    try:
        repository.read_at(folder / "db", target)
        local = OsDir(folder / "db")
        coming = hydration_of(local, repository)
        directory = local if coming is None else coming[0]
        setting = engine.Setting(options=Options(background=False))
        reader, identity = engine.open_reader(directory, setting, session.clock, session.env.rng)
    except BaseException:
        _remove(folder, repository)
        raise
    why = f"a view of the past, as of commit {reader.view().seq}, from {repository.url}"
    past = Session(reader, identity, session.clock, why, hydrator=None if coming is None else coming[1])
    past.on_close = lambda: _remove(folder, repository)
    return past


def _remove(folder: Path, repository: Repository) -> None:
    """Deletes the directory, and what keeps its files in the repository."""
    try:
        document = hydrate.read(OsDir(folder / "db"))
        if document is not None:
            leases.unpin(repository.open().vault, document.pin)
    except TiervdbError as error:
        _log.warning("a pin of %s in %s could not be released: %s", folder, repository.url, error)
    shutil.rmtree(folder, ignore_errors=True)
