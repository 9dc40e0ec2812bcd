"""``Database.at`` for what is held here no more: a lazy restore from the repository, for as long as it is open."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tiervdb.backup import scratch as scratches
from tiervdb.backup.repository import Repository
from tiervdb.backup.scratch import DATABASE, Scratch
from tiervdb.config import Options
from tiervdb.database.connecting import hydration_of
from tiervdb.database.session import Session
from tiervdb.engine import open as engine
from tiervdb.storage.os_dir import OsDir
from tiervdb.target import Target


def session_from_repository(session: Session, repository: Repository, target: Target) -> Session:
    """The state at a target, read from the repository as it is touched. Raises what Repository.plan raises."""
    vault, parent = repository.open().vault, Path(tempfile.gettempdir())
    scratches.sweep(vault, parent, "at")
    scratch = Scratch(parent, vault.rng, "at")
    try:
        scratch.make()
        repository.read_at(scratch.path / DATABASE, target)
        local = OsDir(scratch.path / DATABASE)
        coming = hydration_of(local, repository)
        directory = local if coming is None else coming[0]
        setting = engine.Setting(options=Options(background=False))
        reader, identity = engine.open_reader(directory, setting, session.clock, session.env.rng)
    except BaseException:
        scratch.remove(vault)
        raise
    why = f"a view of the past, as of commit {reader.view().seq}, from {repository.url}"
    past = Session(reader, identity, session.clock, why, hydrator=None if coming is None else coming[1])
    past.on_close = lambda: scratch.remove(vault)
    return past
