"""From a target and a path to a restored database: resolve, plan, run, and attach if asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tiervdb.backup import attach, holdings, resolve, restore, restore_plan
from tiervdb.backup.destination import Destination
from tiervdb.backup.holdings import Holdings
from tiervdb.backup.log_reader import LogReader
from tiervdb.backup.opened import OpenRepository
from tiervdb.backup.pace import UNLIMITED, Limits
from tiervdb.backup.restore_plan import RestorePlan
from tiervdb.backup.sending import Progress
from tiervdb.backup.values import RestoreResult
from tiervdb.engine.copies import parent_of
from tiervdb.errors import InvalidInputError
from tiervdb.storage.object_store import ObjectStore
from tiervdb.storage.open import Store, open_store
from tiervdb.storage.os_dir import OsDir
from tiervdb.target import Target
from tiervdb.types import to_datetime


@dataclass(frozen=True)
class RestoreWish:
    """How a restore is to be made. ``cold``: another cold store; ``cold_options``: credentials for the source's."""

    attach: bool = False
    cold: Store | None = None
    source_options: Callable[[str], Store] = Store
    delta: bool = False
    lazy: bool = False
    collections: tuple[str, ...] | None = None
    limits: Limits = UNLIMITED
    progress: Progress | None = None


def plan(opened: OpenRepository, target: Target) -> tuple[Holdings, RestorePlan]:
    """What a restore to a target would fetch. Raises what resolve.resolve and restore_plan.plan raise."""
    held = holdings.read(opened.vault)
    reader = LogReader(opened.vault)
    point = resolve.resolve(held, target, reader.times, lambda history, name: reader.snapshot_seq(held, history, name))
    return held, restore_plan.plan(held, point)


def run(opened: OpenRepository, path: Path, target: Target, wish: RestoreWish) -> RestoreResult:
    """Restores to a path. See Repository.restore."""
    _check(wish)
    vault = opened.vault
    started = vault.clock.monotonic()
    _, planned = plan(opened, target)
    parent, name = parent_of(path)
    where = Destination(
        OsDir(parent),
        name,
        cold=None if wish.cold is None else open_store(wish.cold),
        source_cold=lambda url: _source_store(url, wish),
        delta=wish.delta,
        lazy=wish.lazy,
        limits=wish.limits,
    )
    settle, finish = None, None
    if wish.attach:
        attaching = attach.Attaching(opened, target)
        settle, finish = attaching.settle, attaching.finish
    done = restore.restore(opened, planned, where, wish.progress, settle, finish)
    return RestoreResult(
        path=parent / name,
        database_id=done.identity.database_id,
        timeline=done.identity.timeline.id,
        from_timeline=planned.timeline,
        seq=done.seq,
        time=to_datetime(done.time_us),
        backup=done.backup,
        attached=wish.attach,
        lazy=wish.lazy,
        fetched_bytes=done.fetched_bytes,
        kept_bytes=done.kept_bytes,
        seconds=vault.clock.monotonic() - started,
    )


def _check(wish: RestoreWish) -> None:
    if wish.attach and wish.collections is not None:
        raise InvalidInputError(
            "restore: attach=True goes on with the whole database, so it cannot be used with collections=; restore "
            "without attach, and bring the rows back with db.recover()"
        )


def _source_store(url: str, wish: RestoreWish) -> ObjectStore:
    return open_store(wish.source_options(url), create=False)
