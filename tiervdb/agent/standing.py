"""How a database stands: measured values beside its objectives, what is due, what failed, and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tiervdb.agent import due
from tiervdb.agent.jobs import JOBS, is_possible
from tiervdb.backup import opened
from tiervdb.backup.catalog.duck import Tables
from tiervdb.configuration.configuration import DatabaseConfiguration
from tiervdb.errors import DatabaseLockedError, NotADatabaseError, TiervdbError
from tiervdb.types import to_datetime, to_us

_NEWEST = """
    select min(first_time) as first_time, max(last_time) as last_time, max(last_seq) as last_seq,
        sum(seconds) as seconds
    from restorable_windows where current
"""
_FORK = """
    select min(w.first_time) as first_time, any_value(t.fork_time) as last_time, any_value(t.fork_seq) as last_seq,
        epoch(any_value(t.fork_time) - min(w.first_time)) as seconds
    from timelines t join restorable_windows w on w.timeline = t.parent
    where t.current and t.fork_seq between w.first_seq and w.last_seq
"""
_VERIFIED = "select finished, findings from verifications where error is null order by finished desc limit 1"
_BACKUP = "select id, kind, finished, bytes from backups where listed order by finished desc limit 1"
_DRILL = "select ok from drills order by finished desc limit 1"
_GOOD_DRILL = """
    select finished, first_query_seconds from drills where ok and rows > 0 order by finished desc limit 1
"""  # an empty one proves little
_LAST_JOBS = """
    select job, max(due) filter (where ok) as done, max(finished) filter (where ok) as finished,
        max(finished) filter (where not ok) as failed_at, arg_max(error, finished) filter (where not ok) as error
    from jobs group by job
"""
_GAPS = "select count(*) as gaps from gaps join timelines using (timeline) where current"


@dataclass(frozen=True)
class Alert:
    """Something that is not as it should be. ``name``: as in docs/operations.md; ``todo``: what to do."""

    name: str
    problem: str
    todo: str


@dataclass(frozen=True)
class JobStanding:
    """``failed``: since when and why the last attempts failed; ``next``: when it is due again."""

    done: datetime | None
    failed: datetime | None
    error: str | None
    next: datetime | None


@dataclass(frozen=True)
class Standing:
    """One database at a moment. Seconds, bytes; None: not known, or there is none."""

    database: str
    at: datetime
    alerts: tuple[Alert, ...]
    rpo_seconds: float | None = None
    rto_seconds: float | None = None
    window_seconds: float | None = None
    window_first: datetime | None = None
    window_last: datetime | None = None
    last_backup: datetime | None = None
    last_drill: datetime | None = None
    rows: int | None = None
    seq: int | None = None
    bytes_by_tier: Mapping[str, int] = field(default_factory=dict)
    segments_by_tier: Mapping[str, int] = field(default_factory=dict)
    jobs: Mapping[str, JobStanding] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return not self.alerts


def look(config: DatabaseConfiguration, now_us: int) -> Standing:
    """Asks the database and its repository. Whatever cannot be asked is an alert."""
    alerts: list[Alert] = []
    local: dict[str, Any] = _local(config, alerts)
    if not config.options["repository"]:
        alerts.append(Alert("Unprotected", "no repository is configured", "name one, and make a backup"))
        return Standing(config.name, to_datetime(now_us), tuple(alerts), **local)
    try:
        tables = _tables(config)
    except TiervdbError as error:
        alerts.append(Alert("RepositoryUnreachable", str(error), "bring the store back, or look at the credentials"))
        return Standing(config.name, to_datetime(now_us), tuple(alerts), **local)
    measured = _measured(config, tables, local.get("seq"), now_us)
    return Standing(
        config.name, to_datetime(now_us), (*alerts, *_alerts(config, tables, measured, now_us)), **local, **measured
    )


def _tables(config: DatabaseConfiguration) -> Tables:
    """What was read before is kept, unless another repository, or none, is there by now."""
    known = config.repository().open()
    found = opened.find(known.vault.store)
    if found is None or found.id != known.id:
        config.forget()
    return config.repository().catalog.tables()


def _local(config: DatabaseConfiguration, alerts: list[Alert]) -> dict[str, Any]:
    if config.path is None:
        return {}
    try:
        with config.open(create=False, read_only=True) as db:
            stats = db.stats()
            segments = {"hot": sum(c.hot_segments for c in stats.collections)}
            segments["cold"] = sum(c.cold_segments for c in stats.collections)
            return {
                "rows": stats.rows,
                "seq": db.seq,
                "bytes_by_tier": {"hot": stats.local_bytes, "cold": stats.cold_bytes},
                "segments_by_tier": segments,
            }
    except DatabaseLockedError:
        return {}
    except NotADatabaseError as error:
        alerts.append(Alert("DatabaseMissing", str(error), "restore it: tiervdb restore PATH --attach"))
    except TiervdbError as error:
        alerts.append(Alert("DatabaseUnreadable", str(error), "run `tiervdb check`, then restore what is damaged"))
    return {}


def _measured(config: DatabaseConfiguration, tables: Tables, seq: int | None, now_us: int) -> dict[str, Any]:
    newest = _row(tables, _NEWEST)
    if newest.get("last_time") is None:  # nothing was committed since it was restored and attached
        newest = _row(tables, _FORK)
    backup, good = _row(tables, _BACKUP), _row(tables, _GOOD_DRILL)
    last = newest.get("last_time")
    return {
        "rpo_seconds": None if last is None else _rpo(newest["last_seq"], seq, to_us(last), now_us),
        "rto_seconds": good.get("first_query_seconds"),
        "window_seconds": newest.get("seconds"),
        "window_first": newest.get("first_time"),
        "window_last": last,
        "last_backup": backup.get("finished"),
        "last_drill": good.get("finished"),
        "jobs": _jobs(config, tables, now_us),
    }


def _rpo(restorable_seq: int, seq: int | None, last_us: int, now_us: int) -> float:
    """What would be lost now, in seconds. Nothing, if the database here holds no later commit."""
    if seq is not None and seq <= restorable_seq:
        return 0.0
    return max(now_us - last_us, 0) / 1e6


def _jobs(config: DatabaseConfiguration, tables: Tables, now_us: int) -> dict[str, JobStanding]:
    known = {row["job"]: row for row in tables.table(_LAST_JOBS).to_pylist()}
    found = {}
    for job in JOBS:
        expression = config.schedule[job]
        if not expression or not is_possible(config, job):
            continue
        row = known.get(job, {})
        done, failed = row.get("finished"), row.get("failed_at")
        still = failed is not None and (done is None or failed > done)
        fire = to_datetime(due.next_fire(expression, now_us))
        found[job] = JobStanding(done, failed if still else None, row.get("error") if still else None, fire)
    return found


def _alerts(config: DatabaseConfiguration, tables: Tables, measured: Mapping[str, Any], now_us: int) -> list[Alert]:
    found = []
    rpo = config.seconds("objectives", "rpo")
    if measured["window_last"] is None:
        found.append(Alert("NothingRestorable", "nothing can be restored", "make a backup: tiervdb backup PATH"))
    elif rpo and measured["rpo_seconds"] > rpo:
        what = f"the newest restorable moment is {measured['rpo_seconds']:,.0f} s old; the objective is {rpo:,.0f} s"
        found.append(Alert("RpoMissed", what, "see that its writer reaches the repository; then tiervdb archive PATH"))
    found += _late(config, "backup_age", measured["last_backup"], now_us, "BackupLate", "backup", "tiervdb backup PATH")
    if _row(tables, _DRILL).get("ok") is False:
        found.append(Alert("DrillFailed", "the last drill failed", "read `tiervdb catalog sql 'from drills'`; verify"))
    findings = _row(tables, _VERIFIED).get("findings")
    if findings:
        what = f"the last verification has {len(findings)} findings: {findings[0]}"
        found.append(Alert("VerifyFailed", what, "run `tiervdb verify --deep`, then make a full backup"))
    if config.schedule["drill"]:
        found += _late(config, "drill_age", measured["last_drill"], now_us, "DrillLate", "drill", "tiervdb drill")
    rto, objective = measured["rto_seconds"], config.seconds("objectives", "rto")
    if objective and rto is not None and rto > objective:
        what = f"a restore's first answer took {rto:,.1f} s; the objective is {objective:,.0f} s"
        found.append(Alert("RtoMissed", what, "restore lazily, bring the repository nearer, or back up more often"))
    if _row(tables, _GAPS).get("gaps"):
        found.append(
            Alert("ArchiveGap", "the archived log has a gap", "make a backup; tiervdb catalog sql 'from gaps'")
        )
    for job, standing in measured["jobs"].items():
        if standing.failed is not None:
            found.append(Alert("JobFailing", f"{job} failed: {standing.error}", "mend that; it is tried again"))
    return found


def _late(
    config: DatabaseConfiguration, objective: str, last: datetime | None, now_us: int, name: str, what: str, todo: str
) -> list[Alert]:
    allowed = config.seconds("objectives", objective)
    if not allowed:
        return []
    if last is None:
        return [Alert(name, f"there is no {what} that went well yet", f"run `{todo}`")]
    age = (now_us - to_us(last)) / 1e6
    if age <= allowed:
        return []
    return [
        Alert(name, f"the last good {what} is {age:,.0f} s old; the objective is {allowed:,.0f} s", f"run `{todo}`")
    ]


def _row(tables: Tables, query: str) -> dict[str, Any]:
    return next(iter(tables.table(query).to_pylist()), {})
