"""What is done with a repository, and written down there: what it was, who did it, how long it took, and how it ended.

A record that cannot be written is no reason to fail what was done; the log says so.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from tiervdb.backup import copying, expiring, restoring, verify
from tiervdb.backup import drill as drills
from tiervdb.backup.copy_objects import CopyWish
from tiervdb.backup.copying import CopyResult
from tiervdb.backup.drill import DrillWish
from tiervdb.backup.expiring import ExpiryResult, Named
from tiervdb.backup.opened import OpenRepository
from tiervdb.backup.policy import Policy
from tiervdb.backup.restoring import RestoreWish
from tiervdb.backup.values import RestoreResult
from tiervdb.backup.vault import Vault
from tiervdb.backup.verify import VerifyReport, VerifyWish
from tiervdb.engine.identity import this_process
from tiervdb.errors import CorruptionError, StorageError
from tiervdb.format import paths as local_paths
from tiervdb.format import repository_paths as paths
from tiervdb.format.documents import Identity, Owner
from tiervdb.format.repository_operations import (
    CloneOperation,
    CopyOperation,
    DrillOperation,
    ExpireOperation,
    FindingRecord,
    Operation,
    RestoreOperation,
    VerifyOperation,
)
from tiervdb.storage.object_store import ObjectStore
from tiervdb.target import Target
from tiervdb.types import to_us

_R = TypeVar("_R")
_log = logging.getLogger("tiervdb")
_FAILURES = (CorruptionError, StorageError)  # all else was bad input, or could not begin


@dataclass(frozen=True)
class Run:
    """When something ran, and how it failed."""

    id: str
    started_us: int
    finished_us: int
    owner: Owner
    error: str | None


def restore(opened: OpenRepository, path: Path, target: Target, wish: RestoreWish) -> RestoreResult:
    """See Repository.restore."""

    def described(run: Run, done: RestoreResult | None) -> Operation:
        asked = RestoreOperation(
            **_fields(run),
            target=str(target),
            path=str(path),
            attached=wish.attach,
            lazy=wish.lazy,
            delta=wish.delta,
        )
        return asked if done is None else _restored(asked, done)

    return _recorded(opened.vault, lambda: restoring.run(opened, path, target, wish), described)


def cloned(vault: Vault, run: Run, path: Path, source: Identity, clone: Identity, seq: int, time_us: int) -> None:
    """Writes down that a database was cloned; ``run``: as it began."""
    what = CloneOperation(
        **_fields(_ended(vault, run, None)),
        path=str(path),
        from_timeline=source.timeline.id,
        seq=seq,
        time_us=time_us,
        timeline=clone.timeline.id,
        database_id=clone.database_id,
    )
    write(vault, what)


def verified(vault: Vault, wish: VerifyWish) -> VerifyReport:
    """See Repository.verify."""

    def described(run: Run, done: VerifyReport | None) -> Operation:
        asked = VerifyOperation(**_fields(run), deep=wish.deep and wish.sample is None, sample=wish.sample)
        return asked if done is None else _verified(asked, done)

    return _recorded(vault, lambda: verify.verify(vault, wish), described)


def copy(source: Vault, target: Vault, wish: CopyWish) -> CopyResult:
    """See Repository.copy_to. Both repositories get the record."""

    def described(run: Run, done: CopyResult | None) -> Operation:
        asked = CopyOperation(**_fields(run), source_url=source.url, target_url=target.url)
        if done is None:
            return asked
        counts = {name: getattr(done, name) for name in ("backups", "skipped_backups", "objects", "bytes", "parts")}
        return msgspec.structs.replace(asked, **counts)

    return _recorded(source, lambda: copying.copy(source, target, wish), described, target)


def expire(vault: Vault, what: Policy | Named, cold: Callable[[str], ObjectStore]) -> ExpiryResult:
    """See Repository.expire."""
    policy = str(what) if isinstance(what, Policy) else None

    def described(run: Run, done: ExpiryResult | None) -> Operation:
        asked = ExpireOperation(**_fields(run), policy=policy)
        if done is None:
            return asked
        counts = {"objects": done.objects, "bytes": done.bytes, "parts": done.parts}
        return msgspec.structs.replace(asked, backups=done.backups, **counts)

    return _recorded(vault, lambda: expiring.run(vault, what, cold), described)


def drill(opened: OpenRepository, wish: DrillWish) -> DrillOperation:
    """See Repository.drill."""
    done = drills.run(opened, wish)
    write(opened.vault, done)
    return done


def write(vault: Vault, operation: Operation) -> None:
    """Writes a record, or says why not."""
    try:
        vault.create(paths.OperationKey(operation.id).key, operation)
    except StorageError as error:
        _log.warning("%s has no record of this: %s", vault.url, error)


def begun(vault: Vault) -> Run:
    """What a record begins with."""
    now_us = vault.clock.now_us()
    return Run(local_paths.random_id(vault.rng), now_us, now_us, this_process(), None)


def _recorded(
    vault: Vault, act: Callable[[], _R], described: Callable[[Run, _R | None], Operation], *others: Vault
) -> _R:
    run = begun(vault)
    try:
        done = act()
    except _FAILURES as error:
        _write_all(described(_ended(vault, run, str(error)), None), vault, *others)
        raise
    _write_all(described(_ended(vault, run, None), done), vault, *others)
    return done


def _write_all(operation: Operation, *vaults: Vault) -> None:
    for vault in vaults:
        write(vault, operation)


def _ended(vault: Vault, run: Run, error: str | None) -> Run:
    return Run(run.id, run.started_us, vault.clock.now_us(), run.owner, error)


def _fields(run: Run) -> dict[str, Any]:
    return {name: getattr(run, name) for name in ("id", "started_us", "finished_us", "owner", "error")}


def _restored(asked: RestoreOperation, done: RestoreResult) -> RestoreOperation:
    return msgspec.structs.replace(
        asked,
        backup=done.backup,
        from_timeline=done.from_timeline,
        seq=done.seq,
        time_us=to_us(done.time),
        timeline=done.timeline,
        database_id=done.database_id,
        fetched_bytes=done.fetched_bytes,
        kept_bytes=done.kept_bytes,
    )


def _verified(asked: VerifyOperation, done: VerifyReport) -> VerifyOperation:
    names: Sequence[str] = ("backups", "objects", "parts", "read_objects", "read_bytes")
    findings = tuple(FindingRecord(object=f.object, problem=f.problem, depends=f.depends) for f in done.findings)
    return msgspec.structs.replace(asked, findings=findings, **{name: getattr(done, name) for name in names})
