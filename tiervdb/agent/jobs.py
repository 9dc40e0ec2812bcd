"""The jobs themselves: each does one thing for one database, and says in words what came of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from tiervdb.backup.values import Backup
from tiervdb.configuration.configuration import DatabaseConfiguration
from tiervdb.database.database import Database
from tiervdb.errors import CorruptionError, DatabaseLockedError, InvalidInputError
from tiervdb.target import Target

NOTHING = ""  # what came of a job that had nothing to do


def run(config: DatabaseConfiguration, job: str) -> str:
    """Does a job; NOTHING if there was nothing to do. Raises TiervdbError."""
    if job not in JOBS:
        raise InvalidInputError(f"{job!r} is no job; there are {', '.join(JOBS)}")
    return JOBS[job](config)


def is_possible(config: DatabaseConfiguration, job: str) -> bool:
    """Whether the configuration names what the job needs."""
    if not config.options["repository"]:
        return False
    if job == "archive" and config.options["archive"] == "off":
        return False
    if job in {"archive", "snapshot", "backup"}:
        return config.path is not None
    if job == "merge":
        return bool(config.schedule["expire"])  # the same key must be one that may delete
    return job != "copy" or bool(config.offsite["url"])


def _archive(config: DatabaseConfiguration) -> str:
    """Nobody else ships the log of a database that nobody has open; whoever has it open does so itself."""
    with config.open(create=False, read_only=True) as db:
        seq, timeline = db.seq, db.status().timeline
    found = config.repository().catalog.tables().sql(
        "select archived_seq from timelines where timeline = ?", [timeline]
    ).fetchall()  # fmt: skip
    archived = found[0][0] if found else None
    if archived is not None and archived >= seq:
        return NOTHING
    try:
        with config.open(create=False) as db:
            return f"archived up to commit {db.archive().seq}"
    except DatabaseLockedError:
        return NOTHING


def _snapshot(config: DatabaseConfiguration) -> str:
    expires = config.seconds("schedule", "snapshot_expires")
    try:
        with config.open(create=False) as db:
            name = f"scheduled-{db.status().time:%Y%m%dT%H%M%S}-{db.seq}"
            if name in {snapshot.name for snapshot in db.snapshots()}:
                return NOTHING
            db.snapshot(name, expires=timedelta(seconds=expires) if expires else None)
            return f"took snapshot {name}"
    except DatabaseLockedError:
        return NOTHING  # only its writer can; it may take its own


def _backup(config: DatabaseConfiguration) -> str:
    with _beside(config) as db:
        done = db.backup()  # an application may open the database meanwhile
    assert isinstance(done, Backup)
    sent = f"{done.sent_bytes:,} bytes in {done.sent_objects} objects"
    return f"{done.kind} backup {done.id[:12]} of commit {done.seq}: {sent}"


def _beside(config: DatabaseConfiguration) -> Database:
    """For reading, as beside a writer, once the log is shipped; for writing only where no log is ever shipped."""
    if config.options["archive"] != "off":
        _archive(config)
        return config.open(create=False, read_only=True)
    try:
        return config.open(create=False)
    except DatabaseLockedError:
        return config.open(create=False, read_only=True)


def _verify(config: DatabaseConfiguration) -> str:
    sample = config.schedule["verify_sample"]
    repository = config.repository()
    report = repository.verify(deep=sample == 1, sample=sample if 0 < sample < 1 else None)
    if not report.ok:
        worst = "; ".join(str(finding) for finding in report.findings[:3])
        raise CorruptionError(f"{len(report.findings)} findings in {repository.url}: {worst}")
    return f"{report.objects} objects and {report.parts} parts are there, {report.read_bytes:,} bytes read"


def _drill(config: DatabaseConfiguration) -> str:
    scratch = config.schedule["drill_scratch"]
    where = config.from_here(scratch) if scratch else None
    done = config.repository().drill(scratch=where)
    if done.ok and not done.rows:  # a random point before the first rows proves little
        done = config.repository().drill(Target.latest(), scratch=where)
    if not done.ok:
        raise CorruptionError("; ".join([*([done.error] if done.error else []), *done.problems]))
    return f"restored commit {done.seq}: first answer after {done.first_query_seconds or 0:.2f} s"


def _expire(config: DatabaseConfiguration) -> str:
    done = config.repository().expire(config.policy, dry_run=False)
    if not done.backups and not done.objects and not done.parts:
        return "nothing to expire"
    return f"expired {len(done.backups)} backups, {done.objects} objects ({done.bytes:,} bytes), {done.parts} parts"


def _merge(config: DatabaseConfiguration) -> str:
    done = config.repository().merge_log(dry_run=False)
    if not done.parts and not done.deleted:
        return NOTHING
    return f"{done.parts} parts of the log became {done.objects} objects ({done.bytes:,} bytes)"


def _copy(config: DatabaseConfiguration) -> str:
    offsite = config.offsite_repository()
    if offsite is None:
        return NOTHING
    done = config.repository().copy_to(offsite)
    return f"copied {done.backups} backups, {done.objects} objects ({done.bytes:,} bytes), {done.parts} parts"


JOBS: dict[str, Callable[[DatabaseConfiguration], str]] = {
    "archive": _archive,
    "backup": _backup,
    "snapshot": _snapshot,
    "copy": _copy,
    "verify": _verify,
    "drill": _drill,
    "expire": _expire,
    "merge": _merge,
}
