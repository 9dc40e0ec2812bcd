"""``Database.backup`` and ``Database.archive``."""

from __future__ import annotations

import logging
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime

from tiervdb.backup import create, golden, holdings, lineage
from tiervdb.backup.create import Wish
from tiervdb.backup.opened import OpenRepository
from tiervdb.backup.pace import Limits
from tiervdb.backup.repository import Repository
from tiervdb.backup.sending import Progress
from tiervdb.backup.source import Source
from tiervdb.backup.values import Backup, BackupSketch, backup_value
from tiervdb.database.history import session_at
from tiervdb.database.protection import Protection
from tiervdb.database.session import Session
from tiervdb.errors import CorruptionError, InvalidInputError, NoRepositoryError, StateError
from tiervdb.format.repository_documents import BackupCollection, BackupDocument, RepositoryEpoch
from tiervdb.target import Target
from tiervdb.types import to_datetime

_log = logging.getLogger("tiervdb")


@dataclass(frozen=True)
class Archived:
    """All commits up to ``seq``, the last of them made at ``time``, are in the repository."""

    seq: int
    time: datetime


def backup(session: Session, wish: Wish, progress: Progress | None, dry_run: bool) -> Backup | BackupSketch:
    """See Database.backup."""
    _check(wish)
    opened = _opened(session, "back up")
    _require_going_on(session)
    if session.read_only is None:
        session.shard("back up").core.group.fsync()
    with closing(session_at(session, Target.latest())) as pinned:
        source = _source(pinned)
        if dry_run:
            return _sketch(source, wish, _listed(opened))
        source = replace(source, golden=golden.choose(pinned.view(), pinned.env.rng))
        if session.protection is not None and session.protection.mode != "off":
            _ship(session.protection)  # so that the archive reaches what the backup holds
        document = create.create(
            opened.vault, source, wish, lambda: _epoch(session, opened), opened.id, lambda: _listed(opened), progress
        )
    _repository(session).after_operation()
    return backup_value(document)


def _repository(session: Session) -> Repository:
    found = session.repository if session.protection is None else session.protection.repository
    assert found is not None  # _opened looked
    return found


def _ship(protection: Protection) -> None:
    """An archive that is damaged at its end needs a backup all the more, and a backup holds its own log."""
    try:
        protection.archiver.ship()
    except CorruptionError as error:
        _log.warning("the archive cannot be continued, and the backup is made without: %s", error)


def archive(session: Session) -> Archived:
    """See Database.archive."""
    shard = session.shard("archive")
    protection = _protection(session, "archive")
    _require_going_on(session)
    shard.core.group.fsync()
    position = protection.ship()
    return Archived(position.seq, to_datetime(position.time_us))


def _source(pinned: Session) -> Source:
    view = pinned.view()
    env = pinned.env
    return Source(
        local=env.local,
        cold=env.opener.cold_store,
        identity=pinned.identity,
        manifest=pinned.manifest(),
        seq=view.seq,
        time_us=view.time_us,
        snapshots=tuple(sorted(view.catalog.snapshots.values(), key=lambda s: (s.seq, s.name))),
        collections=tuple(
            BackupCollection(id=s.id, name=s.name, dim=s.dim, metric=s.metric, rows=view.count(s))
            for s in view.catalog.collections.values()
        ),
    )


def _sketch(source: Source, wish: Wish, known: list[BackupDocument]) -> BackupSketch:
    plan = create.planned(source, wish, known)
    return BackupSketch(
        kind=plan.kind,
        send=tuple((item.name, item.size) for item in plan.send),
        send_bytes=plan.send_bytes,
        reused_files=len(plan.reuse),
        bytes=plan.total_bytes,
    )


def _listed(opened: OpenRepository) -> list[BackupDocument]:
    return list(holdings.readable(opened.vault)[0].backups)


def _epoch(session: Session, opened: OpenRepository) -> RepositoryEpoch:
    """The writer's, while nobody is newer; in a process beside it, that of whoever writes to this timeline now.

    A writer that was started again has a new one, and the same commits. FencedError, RepositoryInUseError.
    """
    if session.protection is not None:
        epoch = session.protection.epoch()
        lineage.require_newest(opened.vault, epoch)
        return epoch
    line = lineage.read(opened.vault)
    lineage.require_ours(line, session.identity, opened.vault.url)
    if not line.epochs:
        raise StateError(
            f"cannot back up {session.path} from here yet: its writer has not been in touch with {opened.vault.url}. "
            "Open it for writing once"
        )
    return line.epochs[-1]


def _opened(session: Session, doing: str) -> OpenRepository:
    session.check()
    if session.protection is not None:
        return session.protection.opened()
    if session.repository is not None:
        return session.repository.open()
    raise NoRepositoryError(
        f"cannot {doing} {session.path}: it has no repository. Open it with repository=, a directory on another disk "
        "or s3://bucket/prefix. db.snapshot() keeps a state here, db.clone() makes a copy on this file system"
    )


def _require_going_on(session: Session) -> None:
    """FencedError or ArchiveConflictError, once this writer has met one."""
    protection = session.protection
    if protection is not None and protection.archiver.stopped is not None:
        raise protection.archiver.stopped


def _protection(session: Session, doing: str) -> Protection:
    _opened(session, doing)
    protection = session.protection
    if protection is None or protection.mode == "off":
        raise StateError(f'cannot {doing} {session.path}: it was opened with archive="off"')
    return protection


def _check(wish: Wish) -> None:
    if wish.kind not in {"full", "incremental", "auto"}:
        raise InvalidInputError(f'backup: kind={wish.kind!r} is not known; give "full", "incremental" or "auto"')
    if wish.cold not in {"copy", "reference"}:
        raise InvalidInputError(f'backup: cold={wish.cold!r} is not known; give "copy" or "reference"')
    if not isinstance(wish.limits, Limits):
        raise InvalidInputError(f"backup: limits={wish.limits!r} is not usable; give tiervdb.Limits(...)")
    if wish.label is not None and (not isinstance(wish.label, str) or not wish.label.strip()):
        raise InvalidInputError(f"backup: label={wish.label!r} is not usable; give a text")
