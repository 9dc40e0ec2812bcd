"""Rows of the tables that say what was done with a repository, and what holds its contents."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from tiervdb.backup.catalog.facts import Facts
from tiervdb.backup.catalog.schema import TABLES
from tiervdb.format.documents import Owner
from tiervdb.format.repository_documents import Expiration, Tombstone
from tiervdb.format.repository_operations import (
    CloneOperation,
    CopyOperation,
    DrillOperation,
    ExpireOperation,
    JobOperation,
    OperationBase,
    RestoreOperation,
    VerifyOperation,
)

Row = dict[str, Any]
_O = TypeVar("_O", bound=OperationBase)


def by(owner: Owner | None) -> Row:
    return {"user": None, "host": None, "version": None} if owner is None else _named(owner)


def _named(owner: Owner) -> Row:
    return {"user": owner.user or None, "host": owner.host, "version": owner.version or None}


def _ran(operation: OperationBase) -> Row:
    return {
        "id": operation.id,
        "started": operation.started_us,
        "finished": operation.finished_us,
        "seconds": (operation.finished_us - operation.started_us) / 1e6,
        "error": operation.error,
        **_named(operation.owner),
    }


def _restore_rows(found: Facts) -> Iterator[Row]:
    for done in operations(found, RestoreOperation):
        yield {
            **{name: getattr(done, name) for name in ("target", "backup", "from_timeline", "seq", "timeline")},
            **{name: getattr(done, name) for name in ("database_id", "path", "attached", "lazy", "delta")},
            "time": done.time_us,
            "fetched_bytes": done.fetched_bytes,
            "kept_bytes": done.kept_bytes,
            **_ran(done),
        }


def _clone_rows(found: Facts) -> Iterator[Row]:
    for done in operations(found, CloneOperation):
        names = ("path", "from_timeline", "seq", "timeline", "database_id")
        yield {**{name: getattr(done, name) for name in names}, "time": done.time_us, **_ran(done)}


def _verification_rows(found: Facts) -> Iterator[Row]:
    for done in operations(found, VerifyOperation):
        yield {
            **{name: getattr(done, name) for name in ("deep", "sample", "backups", "objects", "parts")},
            "ok": done.error is None and not done.findings,
            "read_objects": done.read_objects,
            "read_bytes": done.read_bytes,
            "findings": [f"{f.object}: {f.problem}" for f in done.findings],
            **_ran(done),
        }


def _drill_rows(found: Facts) -> Iterator[Row]:
    for done in operations(found, DrillOperation):
        same = set(TABLES["drills"].schema.names) & set(done.__struct_fields__) - {"problems"}
        yield {
            **{name: getattr(done, name) for name in same},
            "time": done.time_us,
            "ok": done.error is None and not done.problems,
            "problems": list(done.problems),
            **_ran(done),
        }


def _expiration_rows(found: Facts) -> Iterator[Row]:
    gone: list[Expiration | Tombstone] = [*found.known.of(Expiration), *found.known.of(Tombstone)]
    for one in sorted(gone, key=lambda document: (document.created_us, document.id)):
        kind = "expired" if isinstance(one, Expiration) else "given up"
        row = {"backup": one.id, "time": one.created_us, "reason": one.reason, "kind": kind}
        yield {**row, **by(one.owner)}


def _expiry_run_rows(found: Facts) -> Iterator[Row]:
    for done in operations(found, ExpireOperation):
        counts = {"objects": done.objects, "bytes": done.bytes, "parts": done.parts}
        yield {"policy": done.policy, "backups": list(done.backups), **counts, **_ran(done)}


def _hold_rows(found: Facts) -> Iterator[Row]:
    for hold in found.passing.holds:
        yield {
            "id": hold.id,
            "backup": hold.backup,
            "label": hold.label,
            "reason": hold.reason,
            "created": hold.created_us,
            "released": hold.released_us,
            "active": hold.released_us is None,
            "released_by": None if hold.released_by is None else hold.released_by.user or None,
            **by(hold.owner),
        }


def _pin_rows(found: Facts) -> Iterator[Row]:
    for pin in found.passing.pins:
        what = {"id": pin.id, "database_id": pin.holder, "path": pin.path, "created": pin.created_us}
        yield {**what, "backups": list(pin.backups), **by(pin.owner)}


def _lease_rows(found: Facts) -> Iterator[Row]:
    for lease in found.passing.leases:
        yield {
            "id": lease.id,
            "kind": lease.kind,
            "created": lease.created_us,
            "expires": lease.expires_us,
            "running": lease.expires_us > found.now_us,
            "backups": list(lease.backups),
            "timelines": list(lease.timelines),
            **by(lease.owner),
        }


def _copy_rows(found: Facts) -> Iterator[Row]:
    for done in operations(found, CopyOperation):
        names = ("source_url", "target_url", "backups", "skipped_backups", "objects", "bytes", "parts")
        yield {**{name: getattr(done, name) for name in names}, **_ran(done)}


def _job_rows(found: Facts) -> Iterator[Row]:
    for done in operations(found, JobOperation):
        what = {"job": done.job, "due": done.due_us, "attempt": done.attempt, "summary": done.summary}
        yield {**what, "ok": done.error is None, **_ran(done)}


def operations(found: Facts, kind: type[_O]) -> list[_O]:
    """Those of a kind, oldest first."""
    return sorted(found.known.of(kind), key=lambda done: (done.started_us, done.id))


BUILDERS: dict[str, Callable[[Facts], Iterator[Row]]] = {
    "restores": _restore_rows,
    "clones": _clone_rows,
    "verifications": _verification_rows,
    "drills": _drill_rows,
    "expirations": _expiration_rows,
    "expiry_runs": _expiry_run_rows,
    "holds": _hold_rows,
    "pins": _pin_rows,
    "leases": _lease_rows,
    "copies": _copy_rows,
    "jobs": _job_rows,
}
