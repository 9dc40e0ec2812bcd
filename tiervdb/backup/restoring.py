"""From a target and a path to a restored database: resolve, plan, run, and attach if asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from tiervdb.backup import (
    attach,
    fetching,
    holdings,
    hydrate,
    lineage,
    resolve,
    restore,
    restore_plan,
    some_collections,
)
from tiervdb.backup.destination import Destination
from tiervdb.backup.holdings import Holdings
from tiervdb.backup.log_reader import LogReader
from tiervdb.backup.opened import OpenRepository
from tiervdb.backup.pace import UNLIMITED, Limits
from tiervdb.backup.restore import Restored
from tiervdb.backup.restore_plan import RestorePlan
from tiervdb.backup.sending import Progress
from tiervdb.backup.values import RestoreResult
from tiervdb.engine import drop
from tiervdb.engine import identity as identities
from tiervdb.engine.copies import parent_of
from tiervdb.errors import AlreadyExistsError, CorruptionError, InvalidInputError, StateError, TiervdbError
from tiervdb.format import paths
from tiervdb.storage.local_dir import LocalDir
from tiervdb.storage.object_store import ObjectStore
from tiervdb.storage.open import Store, open_store
from tiervdb.storage.os_dir import OsDir
from tiervdb.target import Target
from tiervdb.types import to_datetime


@dataclass(frozen=True)
class RestoreWish:
    """How a restore is to be made. ``cold``: another cold store; ``source_options``: the source's with credentials."""

    attach: bool = False
    cold: Store | None = None
    source_options: Callable[[str], Store] = Store
    delta: bool = False
    lazy: bool = False
    collections: tuple[str, ...] | None = None
    limits: Limits = UNLIMITED
    progress: Progress | None = None


def plan(opened: OpenRepository, target: Target) -> tuple[Holdings, RestorePlan]:
    """What a restore to a target would fetch. Raises what resolve.resolve and restore_plan.plan raise.

    CorruptionError if something is damaged, unless the target is a seq or a backup that can be restored without it:
    what the newest state is, or that of a time or a name, might be in what cannot be read.
    """
    held, damage = holdings.readable(opened.vault)
    if not damage:
        return held, _planned(opened, held, target)
    if target.kind not in {"seq", "backup"}:
        raise CorruptionError(
            f"{damage[0]}. The state at {target} might be in it. To restore without it, name a seq or a backup "
            "(Repository.windows() and .backups() list what is intact)"
        )
    try:
        return held, _planned(opened, held, target)
    except TiervdbError as error:
        raise CorruptionError(f"{damage[0]}. Without it: {error}") from error


def _planned(opened: OpenRepository, held: Holdings, target: Target) -> RestorePlan:
    reader = LogReader(opened.vault)
    point = resolve.resolve(held, target, reader.times, lambda history, name: reader.snapshot_seq(held, history, name))
    return restore_plan.plan(held, point)


def run(opened: OpenRepository, path: Path, target: Target, wish: RestoreWish) -> RestoreResult:
    """Restores to a path. See Repository.restore."""
    _check(wish)
    vault = opened.vault
    started = vault.clock.monotonic()
    held, planned = plan(opened, target)
    if wish.delta:
        _require_archived(opened, held, path)
    parent, name = parent_of(path)
    where = _destination(OsDir(parent), name, wish)
    if wish.collections is not None:
        done = _some(opened, planned, where, wish)
    else:
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


def _require_archived(opened: OpenRepository, held: Holdings, path: Path) -> None:
    """StateError if the database that is to be replaced holds commits that the repository does not."""
    local = OsDir(path)
    if not local.exists(paths.IDENTITY):
        return
    identity = identities.read(local)
    seq, _ = attach.newest_point(local)
    for branch in lineage.history_of((identity.timeline, *identity.ancestors)):
        last = seq if branch.high is None else min(seq, branch.high)
        safe = max(branch.low, _end(held, branch.timeline))
        if last > safe:
            raise StateError(
                f"{path} holds commits {safe + 1} to {last}, which are not in {opened.vault.url} and would be lost: "
                "open it and call archive(), or move it away and restore without delta"
            )


def _end(held: Holdings, timeline: str) -> int:
    """The last commit of a timeline that the repository holds."""
    archived = held.archived.get(timeline)
    ends = [part.last_seq for part in archived.parts] if archived is not None else []
    ends += [holdings.shard_of(backup).seq for backup in held.backups if backup.timeline.id == timeline]
    return max(ends, default=0)


def _destination(parent: OsDir, name: str, wish: RestoreWish) -> Destination:
    return Destination(
        parent,
        name,
        cold=None if wish.cold is None else open_store(wish.cold),
        source_cold=lambda url: _source_store(url, wish),
        delta=wish.delta,
        lazy=wish.lazy,
        limits=wish.limits,
    )


def _some(opened: OpenRepository, planned: RestorePlan, where: Destination, wish: RestoreWish) -> Restored:
    """Some collections: restored beside, lazily, without the others then, and published when that is done."""
    if where.parent.path(where.name).exists():
        raise AlreadyExistsError(f"{where.parent.path(where.name)} exists already; restore to a path that does not")
    beside = f".{where.name}.some"
    old = where.parent.sub(beside)
    _give_up(opened, old, wish)
    done = restore.restore(opened, planned, replace(where, name=beside, lazy=True))
    cold = wish.cold
    if cold is None and done.identity.cold_url is not None:
        cold = wish.source_options(done.identity.cold_url)
    try:
        seq = some_collections.keep_only(opened, old, wish.collections or (), cold, wish.progress, fetch=not wish.lazy)
        where.parent.rename(beside, where.name)
    except BaseException:
        _give_up(opened, old, wish)
        raise
    return replace(done, seq=seq)


def _give_up(opened: OpenRepository, local: LocalDir, wish: RestoreWish) -> None:
    """Removes what was restored to be made smaller, with what was pinned for it."""
    hydrate.give_up(local, opened)
    if local.exists(paths.IDENTITY) or local.exists(paths.DROPPED):
        url = drop.identity_of(local).cold_url
        if url is not None:
            drop.drop(local, open_store(wish.cold or wish.source_options(url)), opened.vault.clock, opened.vault.rng)
    fetching.remove(local)


def _check(wish: RestoreWish) -> None:
    if wish.attach and wish.collections is not None:
        raise InvalidInputError(
            "restore: attach=True goes on with the whole database, so it cannot be used with collections=; restore "
            "without attach, and bring the rows back with db.recover()"
        )
    if wish.collections is not None and (wish.delta or not wish.collections):
        raise InvalidInputError("restore: collections= names at least one, and does not go together with delta=True")


def _source_store(url: str, wish: RestoreWish) -> ObjectStore:
    return open_store(wish.source_options(url), create=False)
