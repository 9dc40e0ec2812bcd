"""Snapshots, pins, states of the past, and clones."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager, closing
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa

from tiervdb.backup import recorded
from tiervdb.backup.repository import Repository
from tiervdb.database import diff as diffs
from tiervdb.database import past
from tiervdb.database import recover as recovering
from tiervdb.database.diff import State
from tiervdb.database.inputs.names import check_name
from tiervdb.database.inputs.times import to_expiry_us, to_time_us
from tiervdb.database.recover import RecoverWish, Recovery
from tiervdb.database.session import Session, named
from tiervdb.database.values import Snapshot
from tiervdb.engine import copies, pins, time_travel
from tiervdb.engine.open import reader_surroundings
from tiervdb.engine.reader import Reader, ReaderSurroundings, newest_seq
from tiervdb.engine.time_travel import Stretch
from tiervdb.engine.view import View
from tiervdb.errors import (
    InvalidInputError,
    NoRepositoryError,
    OutsideWindowError,
    SnapshotNotFoundError,
    TiervdbError,
)
from tiervdb.format.documents import Identity, Pin
from tiervdb.format.manifest import SnapshotName
from tiervdb.storage.os_dir import OsDir
from tiervdb.target import Target
from tiervdb.types import to_datetime

_log = logging.getLogger("tiervdb")
Point = Snapshot | Target | str | None


def take_snapshot(session: Session, name: str, expires: datetime | timedelta | str | None) -> Snapshot:
    """See Database.snapshot."""
    shard = session.shard("take a snapshot")
    check_name(name, "the name of a snapshot")
    until_us = to_expiry_us(expires, session.clock.now_us(), "snapshot: expires")
    taken = shard.snapshot(name, until_us)
    return _snapshot(taken, _pins_by_id(session).get(taken.pin), None)


def snapshots(session: Session) -> list[Snapshot]:
    """See Database.snapshots. The bytes are known to the writer only."""
    view, held = session.view(), _pins_by_id(session)
    only: dict[str, int] = {}
    if session.read_only is None:
        only = {info.pin: info.only_bytes for info in session.shard("list snapshots").snapshots()}
    names = sorted(view.catalog.snapshots.values(), key=lambda s: (s.seq, s.created_us))
    return [_snapshot(name, held.get(name.pin), only.get(name.pin)) for name in names]


def to_target(point: Point, time: datetime | str | None, seq: int | None) -> Target:
    """The one point that was given; the newest commit if none was."""
    given = [value for value in (point, time, seq) if value is not None]
    if len(given) > 1:
        raise InvalidInputError("at: give one of a snapshot or Target, time= and seq=, not several")
    if time is not None:
        return Target.time(time)
    if seq is not None:
        return Target.seq(seq)
    if isinstance(point, Snapshot):
        return Target.snapshot(point.name)
    if isinstance(point, str):
        return Target.snapshot(point)
    if point is not None and not isinstance(point, Target):
        raise InvalidInputError(f"at: {point!r} is no point in time; give a snapshot, a Target, time= or seq=")
    return point or Target.latest()


def session_at(session: Session, target: Target) -> Session:
    """A session that reads the state at a target, which stays pinned until it is closed."""
    session.check()
    if target.kind == "backup" or target.timeline is not None:
        return past.session_from_repository(session, _repository(session, target), target)
    try:
        return _session_here(session, target)
    except (OutsideWindowError, SnapshotNotFoundError):
        if session.repository is None:
            raise
    return past.session_from_repository(session, session.repository, target)


def _repository(session: Session, target: Target) -> Repository:
    if session.repository is None:
        raise NoRepositoryError(f"at: {target} is in a repository, and {session.path} has none")
    return session.repository


def _session_here(session: Session, target: Target) -> Session:
    env = _reader_env(session)
    if target.kind == "latest" and session.reader() is not None:
        reader = Reader.at(env, Stretch(session.manifest(), session.view().seq), session.view().seq)
    elif target.kind == "latest":
        reader = Reader(env, lambda: Stretch(env.manifests.current(), newest_seq(env)), moves=False)
    else:
        reader = Reader(env, lambda: _stretch_to(session, env, target), moves=False)
    why = f"a view of the past, as of commit {reader.view().seq}"
    return Session(reader, session.identity, session.clock, why, shares=session)


def _stretch_to(session: Session, env: ReaderSurroundings, target: Target) -> Stretch:
    """Looked up anew at each attempt, for what holds a point now may be let go before it is pinned."""
    held = time_travel.stretches(env.local, env.shard, env.manifests, session.view().seq)
    seq = _seq_of(session, target, held)
    return Stretch(time_travel.at_seq(held, seq).manifest, seq)


def clone(session: Session, path: Path, target: Target) -> Path:
    """See Database.clone."""
    parent, name = copies.parent_of(path)
    with closing(session_at(session, target)) as origin:
        view, env = origin.view(), origin.env
        start = copies.Origin(env.local, env.opener.store, session.identity, origin.manifest(), view.seq, view.time_us)
        made = copies.clone(start, OsDir(parent), name, session.clock, env.rng)
    _tell(session, parent / name, start, made)
    return parent / name


def _tell(session: Session, path: Path, start: copies.Origin, made: Identity) -> None:
    """The repository keeps the lineage. That it cannot be asked is no reason to fail a clone."""
    if session.repository is None:
        return
    try:
        vault = session.repository.open().vault
        recorded.cloned(vault, recorded.begun(vault), path, start.identity, made, start.seq, start.time_us)
    except TiervdbError as error:
        _log.warning("%s: the clone in %s is not written down there: %s", session.repository.url, path, error)


def diff(session: Session, name: str, before: AbstractContextManager[Session]) -> pa.Table:
    """See Database.diff."""
    session.check()
    with before as past:
        new, old = state_of(session.view(), name), state_of(past.view(), name)
        if new.schema is None and old.schema is None:
            named(session.catalog(), name)  # raises
        return diffs.table(new, old)


def recover(
    session: Session, name: str, before: AbstractContextManager[Session], wish: RecoverWish, dry_run: bool
) -> Recovery:
    """See Database.recover."""
    if not dry_run:
        session.shard("recover")  # else it is asked beside a writer, too
    with before as past:
        return recovering.recover(session, name, past.view(), wish, dry_run)


def state_of(view: View, name: str) -> State:
    return State(view, view.schema(name) if name in view.collections() else None)


def refresh(session: Session) -> int:
    """See Database.refresh."""
    reader = session.reader()
    return session.view().seq if reader is None else reader.refresh().seq


def _seq_of(session: Session, target: Target, held: list[Stretch]) -> int:
    match target:
        case Target("snapshot", str(name)):
            return session.view().catalog.snapshot(name).seq
        case Target("seq", int(seq)):
            return seq - target.exclusive
        case Target("time", datetime() as time):
            until_us = to_time_us(time, "at: time") - target.exclusive
            return time_travel.seq_at_time(session.env.local, session.env.shard, held, until_us)
    raise InvalidInputError(f"at: {target} is no point that can be looked up here")


def _reader_env(session: Session) -> ReaderSurroundings:
    env = session.env
    if isinstance(env, ReaderSurroundings):
        return env
    return reader_surroundings(env.local, session.identity, env.opener, env.tools, env.clock, env.rng)


def _pins_by_id(session: Session) -> dict[str, Pin]:
    return {pin.id: pin for pin in pins.listed(session.env.local, session.env.shard)}


def _snapshot(name: SnapshotName, pin: Pin | None, only_bytes: int | None) -> Snapshot:
    return Snapshot(
        name=name.name,
        seq=name.seq,
        time=to_datetime(name.time_us),
        created=to_datetime(name.created_us),
        expires=None if name.expires_us is None else to_datetime(name.expires_us),
        consistency="lost" if pin is None else pin.consistency,
        pin=name.pin,
        only_bytes=only_bytes,
    )
