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
_ALL = 2**63  # lets all of it go


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


def needless(found: Archived, seq: int) -> list[PartHeader]:
    """The parts that hold nothing after a seq, but for the last part of all."""
    return [part for part in found.parts[:-1] if part.last_seq <= seq]


def lost(before: Sequence[Window], after: Sequence[Window]) -> list[Window]:
    """The intervals of ``before`` that no window of the same timeline in ``after`` covers."""
    found = []
    for window in before:
        first, first_time_us = window.first_seq, window.first_time_us
        for kept in sorted((w for w in after if w.timeline == window.timeline), key=lambda w: w.first_seq):
            if kept.last_seq < first or kept.first_seq > window.last_seq:
                continue
            if kept.first_seq > first:
                hole = replace(window, first_seq=first, last_seq=kept.first_seq - 1, first_time_us=first_time_us)
                found.append(replace(hole, last_time_us=kept.first_time_us))
            first, first_time_us = kept.last_seq + 1, kept.last_time_us
        if first <= window.last_seq:
            found.append(replace(window, first_seq=first, first_time_us=first_time_us))
    return found


# -- the rules


def _keep_covered(held: Holdings, policy: Policy, now_us: int, reasons: dict[str, list[str]], future: set[str]) -> None:
    """Every moment of ``pitr`` until now; of the current history its newest state, whatever the policy."""
    why = f"point-in-time recovery of the last {policy.pitr}" if policy.us("pitr") else "the newest state needs it"
    for history in _histories(held):
        base = _base_for(held, history, policy, now_us, future)
        if base is None:
            continue
        for backup in on_history(held, history):
            is_younger = policy.us("pitr") and (is_origin(base) or _age(backup, history) > _age(base, history))
            stays = not is_origin(backup) and (is_younger or backup.id == base.id)
            if stays and why not in reasons.get(backup.id, ()):
                reasons.setdefault(backup.id, []).append(why)


def _keep_points(
    held: Holdings, known: Sequence[BackupDocument], policy: Policy, now_us: int, reasons: dict[str, list[str]]
) -> None:
    """The newest backup in each of the last hours, days, weeks, months and years, on each branch of the history."""
    current = _states_of_current(held)
    now = to_datetime(now_us)
    for name, (count, period, before) in _periods(policy).items():
        oldest = _period_ago(count, period, before, now)
        newest: dict[tuple[str, str], BackupDocument] = {}
        for backup in sorted(known, key=lambda b: (shard_of(b).time_us, b.created_us, b.id)):
            when = period(to_datetime(shard_of(backup).time_us))
            if count and oldest <= when <= period(now):
                newest["" if backup.id in current else backup.timeline.id, when] = backup
        for (_, when), backup in newest.items():
            reasons.setdefault(backup.id, []).append(f"{name}: the newest of {when}")


def _keep_newest(
    held: Holdings, known: Sequence[BackupDocument], policy: Policy, reasons: dict[str, list[str]]
) -> None:
    current = _states_of_current(held)
    mine = [b for b in known if b.id in current] or list(known)
    newest = sorted(mine, key=lambda b: (shard_of(b).time_us, b.created_us, b.id))[-policy.min_backups :]
    for backup in newest:
        reasons.setdefault(backup.id, []).append(f"one of the newest {policy.min_backups}")


def _log_from(held: Holdings, policy: Policy, now_us: int, future: set[str]) -> dict[str, int]:
    """By timeline, the seq up to which no history needs its log for ``pitr``."""
    bounds: dict[str, int] = {}
    for history in _histories(held):
        base = _base_for(held, history, policy, now_us, future)
        begins = [shard_of(b).flushed_seq for b in on_history(held, history) if b.id in future]
        begins += [] if base is None else [shard_of(base).flushed_seq]
        for branch in history:
            end = _ALL if branch.high is None else branch.high
            bound = min((seq for seq in begins if seq < end), default=_ALL)
            if base is not None and is_origin(base) and branch is history[-1]:
                bound = 0  # the empty database is known by its first part
            bounds[branch.timeline] = min(bounds.get(branch.timeline, bound), bound)
    return bounds


def _base_for(
    held: Holdings, history: Sequence[Branch], policy: Policy, now_us: int, future: set[str]
) -> BackupDocument | None:
    """Without ``pitr``, only the current history has one: that of its newest state."""
    if not policy.us("pitr") and not _is_current(held, history):
        return None
    return _base(held, history, now_us - policy.us("pitr"), future)


def _base(held: Holdings, history: Sequence[Branch], since_us: int, future: set[str]) -> BackupDocument | None:
    """What the states of a history since a time start from: its newest backup that is as old; else its oldest.

    None if nothing of this history is as young as that time, or can be restored at all.
    """
    reaches = {reach.backup: reach for reach in windows.reaches(held, history)}
    on = [backup for backup in on_history(held, history) if backup.id not in future]
    if not on:
        return None
    end = max(_end(held, history, reaches[backup.id].last_time_us) for backup in on)
    if end < since_us:
        if not _is_current(held, history):
            return None
        since_us = end  # its newest state stays, however old that is
    old = [backup for backup in on if shard_of(backup).first_time_us <= since_us]
    return max(old, key=lambda b: _age(b, history)) if old else min(on, key=lambda b: _age(b, history))


def _is_current(held: Holdings, history: Sequence[Branch]) -> bool:
    current = held.lineage.current
    return current is not None and history[0].timeline == current.timeline.id


def _end(held: Holdings, history: Sequence[Branch], last_time_us: int) -> int:
    """Until when a history's newest state is known to have been the newest."""
    archived = held.archived.get(history[0].timeline)
    complete = archived.complete if archived is not None else None
    return last_time_us if complete is None else max(last_time_us, complete.time_us)


def _age(backup: BackupDocument, history: Sequence[Branch]) -> tuple[int, int, int, str]:
    """By what it holds of a history: clocks step back, so its date comes last."""
    shard, high = shard_of(backup), next(b.high for b in history if b.timeline == backup.timeline.id)
    until = shard.seq if high is None else min(shard.seq, high)
    return shard.flushed_seq, until, backup.created_us, backup.id


def _histories(held: Holdings) -> list[tuple[Branch, ...]]:
    return [held.lineage.history(timeline) for timeline in held.lineage.timelines]


def _states_of_current(held: Holdings) -> set[str]:
    """The backups whose states are of the current history; others may only begin on it."""
    current = held.lineage.current
    if current is None:
        return set()
    highs = {branch.timeline: branch.high for branch in held.lineage.history(current.timeline.id)}
    return {
        backup.id
        for backup in held.backups
        if backup.timeline.id in highs and ((high := highs[backup.timeline.id]) is None or shard_of(backup).seq <= high)
    }


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


def _period_ago(count: int, period: Moment, before: Earlier, now: datetime) -> str:
    """The oldest of the last so many; their names sort by time."""
    try:
        return period(before(now, max(count - 1, 0)))
    except OverflowError:
        return ""


def _months_ago(time: datetime, months: int) -> datetime:
    number = time.year * 12 + time.month - 1 - months
    return datetime(max(number // 12, 1), number % 12 + 1, 1, tzinfo=time.tzinfo)


def _decision(backup: BackupDocument, reasons: Sequence[str], ignored: bool, policy: Policy) -> Decision:
    if ignored:
        reasons = ["ignored: it is dated in the future, so its age is not known"]
    keep = bool(reasons)
    goes = f"older than {policy.pitr}, and no" if policy.us("pitr") else "no"
    why = tuple(reasons) or (f"{goes} restore point of the policy",)
    return Decision(
        backup.id, backup.label, backup.kind, shard_of(backup).time_us, keep=keep, reasons=why, ignored=ignored
    )


def _parts_after(found: Archived, seq: int) -> tuple[PartHeader, ...]:
    gone = set(needless(found, seq))
    return tuple(part for part in found.parts if part not in gone)


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
