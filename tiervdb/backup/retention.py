"""Which backups a policy keeps and why, which part of the log, and what can no longer be restored then. Pure.

Full point-in-time coverage for a while: of each history the newest backup that is not younger than that, all since,
and the log from there on. Single restore points for longer: each backup holds its own log, so it needs no other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from tiervdb.backup import windows
from tiervdb.backup.holdings import Archived, Holdings, on_history, shard_of
from tiervdb.backup.lineage import Branch
from tiervdb.backup.origin import is_origin
from tiervdb.backup.policy import Policy
from tiervdb.backup.windows import Window
from tiervdb.errors import StateError
from tiervdb.format.repository_documents import BackupDocument, PartHeader
from tiervdb.types import to_datetime

FUTURE_US = 10 * 60 * 1_000_000  # clocks differ; what is dated further ahead is not believed
NOTHING = -1  # keeps the whole log of a timeline


@dataclass(frozen=True)
class Decision:
    """About one backup, with its reasons. ``ignored``: its date cannot be believed, so it is left alone."""

    backup: str
    label: str | None
    kind: str
    time_us: int
    keep: bool
    reasons: tuple[str, ...]
    ignored: bool = False


@dataclass(frozen=True)
class RetentionPlan:
    """``decisions``: newest first. ``log_from``: by timeline, the seq up to which its log may go. ``vanishing``: what
    can be restored now, and not afterwards."""

    decisions: tuple[Decision, ...]
    log_from: Mapping[str, int]
    vanishing: tuple[Window, ...]

    @property
    def expiring(self) -> tuple[str, ...]:
        return tuple(decision.backup for decision in self.decisions if not decision.keep)


def plan(held: Holdings, held_back: Mapping[str, str], policy: Policy, now_us: int) -> RetentionPlan:
    """``held_back``: backups that a hold keeps, with its reason. StateError if ``require_restorable`` would break."""
    future = {b.id for b in held.backups if max(b.created_us, shard_of(b).time_us) > now_us + FUTURE_US}
    known = [backup for backup in held.backups if backup.id not in future]
    reasons: dict[str, list[str]] = {}
    _keep_covered(held, policy, now_us, reasons, future)
    _keep_points(held, known, policy, now_us, reasons)
    _keep_newest(held, known, policy, reasons)
    for backup, why in held_back.items():
        reasons.setdefault(backup, []).append(f"held: {why}")
    decisions = [_decision(b, reasons.get(b.id, []), b.id in future, policy) for b in held.backups]
    log_from = _log_from(held, policy, now_us, future)
    after = rest(held, {d.backup for d in decisions if not d.keep}, log_from)
    vanishing = lost(windows.windows(held), windows.windows(after))
    _require(held, after, policy, now_us)
    return RetentionPlan(newest_first(decisions), log_from, tuple(vanishing))


def newest_first(decisions: Iterable[Decision]) -> tuple[Decision, ...]:
    return tuple(sorted(decisions, key=lambda d: (-d.time_us, d.backup)))


def rest(held: Holdings, gone: Iterable[str], log_from: Mapping[str, int]) -> Holdings:
    """What is left without some backups and the log up to some seqs."""
    gone = set(gone)
    archived = {
        timeline: replace(found, parts=_parts_after(found, log_from.get(timeline, NOTHING)))
        for timeline, found in held.archived.items()
    }
    return Holdings(held.lineage, tuple(b for b in held.backups if b.id not in gone), archived)


def needless(found: Archived, seq: int) -> list[int]:
    """The numbers of the parts that hold nothing after a seq, but for the last part of all."""
    return [part.n for part in found.parts[:-1] if part.last_seq <= seq]


def lost(before: Sequence[Window], after: Sequence[Window]) -> list[Window]:
    """The intervals of ``before`` that no window of the same timeline in ``after`` covers."""
    found = []
    for window in before:
        first = window.first_seq
        for kept in sorted((w for w in after if w.timeline == window.timeline), key=lambda w: w.first_seq):
            if kept.first_seq > first and first <= window.last_seq:
                until = min(window.last_seq, kept.first_seq - 1)
                found.append(replace(window, first_seq=first, last_seq=until, last_time_us=kept.first_time_us))
            if kept.first_seq <= window.last_seq:
                first = max(first, kept.last_seq + 1)
        if first <= window.last_seq:
            found.append(replace(window, first_seq=first))
    return found


# -- the rules


def _keep_covered(held: Holdings, policy: Policy, now_us: int, reasons: dict[str, list[str]], future: set[str]) -> None:
    """Every moment of ``pitr`` until now."""
    if not policy.us("pitr"):
        return
    for history in _histories(held):
        base = _base(held, history, now_us - policy.us("pitr"), future)
        if base is None:
            continue
        for backup in on_history(held, history):
            if not is_origin(backup) and (is_origin(base) or _age(backup) >= _age(base)):
                why = f"point-in-time recovery of the last {policy.pitr}"
                if why not in reasons.setdefault(backup.id, []):
                    reasons[backup.id].append(why)


def _keep_points(
    held: Holdings, known: Sequence[BackupDocument], policy: Policy, now_us: int, reasons: dict[str, list[str]]
) -> None:
    """The newest backup in each of the last hours, days, weeks, months and years, on each branch of the history."""
    current = _on_current(held)
    now = to_datetime(now_us)
    for name, (count, period, before) in _periods(policy).items():
        wanted = {period(before(now, number)) for number in range(count)}
        newest: dict[tuple[str, str], BackupDocument] = {}
        for backup in sorted(known, key=lambda b: (shard_of(b).time_us, b.created_us, b.id)):
            when = period(to_datetime(shard_of(backup).time_us))
            if when in wanted:
                newest["" if backup.id in current else backup.timeline.id, when] = backup
        for (_, when), backup in newest.items():
            reasons.setdefault(backup.id, []).append(f"{name}: the newest of {when}")


def _keep_newest(
    held: Holdings, known: Sequence[BackupDocument], policy: Policy, reasons: dict[str, list[str]]
) -> None:
    current = _on_current(held)
    mine = [b for b in known if b.id in current] or list(known)
    newest = sorted(mine, key=lambda b: (shard_of(b).time_us, b.created_us, b.id))[-policy.min_backups :]
    for backup in newest:
        reasons.setdefault(backup.id, []).append(f"one of the newest {policy.min_backups}")


def _log_from(held: Holdings, policy: Policy, now_us: int, future: set[str]) -> dict[str, int]:
    """By timeline, the seq up to which no history needs its log for ``pitr``."""
    bounds: dict[str, int] = {}
    for history in _histories(held):
        base = _base(held, history, now_us - policy.us("pitr"), future) if policy.us("pitr") else None
        for branch in history:
            end = branch.high if branch.high is not None else 2**63
            bound = end if base is None else min(shard_of(base).flushed_seq, end)
            bounds[branch.timeline] = min(bounds.get(branch.timeline, bound), bound)
    return bounds


def _base(held: Holdings, history: Sequence[Branch], since_us: int, future: set[str]) -> BackupDocument | None:
    """What the states of a history since a time start from: its newest backup that is as old; else its oldest.

    None if nothing of this history is as young as that time, or can be restored at all.
    """
    reaches = {reach.backup: reach for reach in windows.reaches(held, history)}
    on = [backup for backup in on_history(held, history) if backup.id not in future]
    if not on or max(_end(held, history, reaches[backup.id].last_time_us) for backup in on) < since_us:
        return None
    old = [backup for backup in on if shard_of(backup).first_time_us <= since_us]
    return max(old, key=_age) if old else min(on, key=_age)


def _end(held: Holdings, history: Sequence[Branch], last_time_us: int) -> int:
    """Until when a history's newest state is known to have been the newest."""
    archived = held.archived.get(history[0].timeline)
    complete = archived.complete if archived is not None else None
    return last_time_us if complete is None else max(last_time_us, complete.time_us)


def _age(backup: BackupDocument) -> tuple[int, int, str]:
    return shard_of(backup).flushed_seq, backup.created_us, backup.id


def _histories(held: Holdings) -> list[tuple[Branch, ...]]:
    return [held.lineage.history(timeline) for timeline in held.lineage.timelines]


def _on_current(held: Holdings) -> set[str]:
    current = held.lineage.current
    if current is None:
        return set()
    return {backup.id for backup in on_history(held, held.lineage.history(current.timeline.id))}


Moment = Callable[[datetime], str]
Earlier = Callable[[datetime, int], datetime]


def _periods(policy: Policy) -> dict[str, tuple[int, Moment, Earlier]]:
    """How many of each, which one a time lies in, and a time so many of them ago."""
    return {
        "hourly": (policy.hourly, lambda t: t.strftime("%Y-%m-%d %H:00"), lambda t, n: t - timedelta(hours=n)),
        "daily": (policy.daily, lambda t: t.strftime("%Y-%m-%d"), lambda t, n: t - timedelta(days=n)),
        "weekly": (policy.weekly, lambda t: t.strftime("%G-W%V"), lambda t, n: t - timedelta(weeks=n)),
        "monthly": (policy.monthly, lambda t: t.strftime("%Y-%m"), _months_ago),
        "yearly": (policy.yearly, lambda t: t.strftime("%Y"), lambda t, n: _months_ago(t, 12 * n)),
    }


def _months_ago(time: datetime, months: int) -> datetime:
    number = time.year * 12 + time.month - 1 - months
    return datetime(max(number // 12, 1), number % 12 + 1, 1, tzinfo=time.tzinfo)


def _decision(backup: BackupDocument, reasons: Sequence[str], ignored: bool, policy: Policy) -> Decision:
    if ignored:
        reasons = ["ignored: it is dated in the future, so its age is not known"]
    keep = bool(reasons)
    why = tuple(reasons) or (f"older than {policy.pitr}, and no restore point of the policy",)
    return Decision(
        backup.id, backup.label, backup.kind, shard_of(backup).time_us, keep=keep, reasons=why, ignored=ignored
    )


def _parts_after(found: Archived, seq: int) -> tuple[PartHeader, ...]:
    gone = set(needless(found, seq))
    return tuple(part for part in found.parts if part.n not in gone)


def _require(held: Holdings, after: Holdings, policy: Policy, now_us: int) -> None:
    """What of the required time can be restored must stay so, on the current history."""
    since_us = now_us - policy.us("require_restorable")
    if not policy.us("require_restorable") or held.lineage.current is None:
        return
    lines = {b.timeline for b in held.lineage.history(held.lineage.current.timeline.id)}
    broken = [
        window
        for window in lost(windows.windows(held), windows.windows(after))
        if window.timeline in lines and window.last_time_us > since_us
    ]
    if broken:
        worst = broken[-1]
        raise StateError(
            f"expire: nothing was expired, for require_restorable={policy.require_restorable} would break: commits "
            f"{worst.first_seq} to {worst.last_seq} (until {to_datetime(worst.last_time_us).isoformat()}) could no "
            f"longer be restored. Give a pitr that is not shorter; it is {policy.pitr}"
        )
