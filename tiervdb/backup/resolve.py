"""From a target to one state: a timeline and a seq, or an error that names the nearest restorable points."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from tiervdb.backup import listing, windows
from tiervdb.backup.holdings import Holdings, Stretch, shard_of, stretches
from tiervdb.backup.lineage import Branch, history_of
from tiervdb.backup.log_reader import RecordTimes
from tiervdb.errors import AmbiguousTargetError, OutsideWindowError, SnapshotNotFoundError
from tiervdb.format.repository_documents import BackupDocument
from tiervdb.target import Target
from tiervdb.types import to_datetime, to_us

SnapshotSeq = Callable[[Sequence[Branch], str], int | None]  # of a name, from the archived log


@dataclass(frozen=True)
class Point:
    """A state: the seq, along a history. ``time_us``: the time that was asked for, or None."""

    history: tuple[Branch, ...]
    seq: int
    time_us: int | None = None

    @property
    def branch(self) -> Branch:
        """The branch that the seq lies on."""
        return next((b for b in self.history if b.holds(self.seq)), self.history[-1])


def resolve(holdings: Holdings, target: Target, times: RecordTimes, snapshot_seq: SnapshotSeq | None) -> Point:
    """The state that a target means. OutsideWindowError, AmbiguousTargetError, SnapshotNotFoundError,
    BackupNotFoundError, InvalidInputError for an unknown timeline."""
    if target.kind == "backup":
        return _of_backup(listing.find(list(holdings.backups), str(target.value)))
    history = history_for(holdings, target.timeline)
    match target:
        case Target("seq", int(seq)):
            return Point(history, seq - target.exclusive)
        case Target("snapshot", str(name)):
            return Point(history, _snapshot_seq(holdings, history, name, snapshot_seq))
        case Target("time", datetime() as time):
            until_us = to_us(time) - target.exclusive
            if target.timeline is None:
                _refuse_ambiguous(history, until_us)
            return Point(history, _seq_at(holdings, history, until_us, times), until_us)
    return Point(history, _latest(holdings, history))


def nearest(holdings: Holdings, seq: int | None = None, time_us: int | None = None) -> str:
    """The restorable points next to one that is not, in words."""
    found = windows.windows(holdings)
    if not found:
        return "nothing can be restored from here yet: make a backup first"
    shown = [
        f"commits {w.first_seq} to {w.last_seq} ({_text(w.first_time_us)} to {_text(w.last_time_us)}) of timeline "
        f"{w.timeline[:8]}"
        for w in sorted(found, key=lambda w: _distance(w, seq, time_us))[:3]
    ]
    return f"restorable near it: {'; '.join(shown)}"


def _of_backup(backup: BackupDocument) -> Point:
    return Point(history_of((backup.timeline, *backup.ancestors)), shard_of(backup).seq)


def history_for(holdings: Holdings, timeline: str | None) -> tuple[Branch, ...]:
    """What leads to the newest state of a timeline, given by its id or the beginning of it; None: the current one."""
    lineage = holdings.lineage
    if timeline is not None:
        known = [line for line in lineage.timelines if line.startswith(timeline)] if len(timeline) >= 4 else []
        return lineage.history(known[0] if len(known) == 1 else timeline)
    if lineage.current is None:
        raise OutsideWindowError("the repository is empty: nothing was archived or backed up here yet")
    return lineage.history(lineage.current.timeline.id)


def _latest(holdings: Holdings, history: Sequence[Branch]) -> int:
    reaches = windows.reaches(holdings, history)
    if not reaches:
        raise OutsideWindowError(f"latest cannot be restored: {nearest(holdings)}")
    newest = max(s.until for s in [*stretches(holdings, history)]) if stretches(holdings, history) else 0
    best = max(r.until for r in reaches)
    if newest > best:
        raise OutsideWindowError(
            f"latest, commit {newest}, cannot be restored, because part of the archived log before it is missing; "
            f"{nearest(holdings, newest)}. Target.seq({best}) is the last one before the gap"
        )
    return best


def _snapshot_seq(holdings: Holdings, history: Sequence[Branch], name: str, in_log: SnapshotSeq | None) -> int:
    logged = None if in_log is None else in_log(history, name)
    if logged is not None:
        return logged
    known = {branch.timeline for branch in history}
    for backup in reversed(holdings.backups):
        for snapshot in backup.snapshots:
            if backup.timeline.id in known and snapshot.name == name:
                return snapshot.seq
    raise SnapshotNotFoundError(
        f'there is no snapshot {name!r} in the log or the backups of this repository; `tiervdb catalog sql "from '
        'snapshots"` lists them'
    )


def _refuse_ambiguous(history: Sequence[Branch], time_us: int) -> None:
    """Between a fork's point and its creation, there were two histories: the old one, and what was left of it."""
    for branch in history:
        line = branch.line
        if line.parent is not None and line.fork_time_us is not None and line.fork_time_us < time_us < line.created_us:
            raise AmbiguousTargetError(
                f"at {_text(time_us)} timeline {line.parent[:8]} was still written, and timeline {line.id[:8]} was "
                f"restored later, at {_text(line.created_us)}, to what it was at {_text(line.fork_time_us)}. Say which "
                f'history is meant: timeline="{line.parent}" for what was there at that time, or timeline="{line.id}" '
                "for the state that went on"
            )


def _seq_at(holdings: Holdings, history: Sequence[Branch], time_us: int, times: RecordTimes) -> int:
    """The last commit at or before a time."""
    branch = next((b for b in history if b.line.parent is None or _began(b) <= time_us), history[-1])
    own = [s for s in stretches(holdings, history) if branch.high is None or s.after < branch.high]
    found = [seq for s in own if (seq := _last_in(s, time_us, times)) is not None]
    found += [
        r.first for r in windows.reaches(holdings, history) if r.first_time_us <= time_us and _below(r.first, branch)
    ]
    if branch.line.parent is not None:
        found.append(branch.low)
    if not found:
        raise OutsideWindowError(
            f"nothing that is held here is as old as {_text(time_us)}; {nearest(holdings, 0, time_us)}"
        )
    seq = max(found) if branch.high is None else min(max(found), branch.high)
    if not _is_known_last(holdings, history, own, seq, time_us):
        raise OutsideWindowError(
            f"which commit was the last at {_text(time_us)} is not known here: the archive does not reach that far; "
            f"{nearest(holdings, seq, time_us)}"
        )
    return seq


def _is_known_last(
    holdings: Holdings, history: Sequence[Branch], held: Sequence[Stretch], seq: int, time_us: int
) -> bool:
    """Whether no commit after ``seq`` was made up to the time: its successor is held, or the archive says so."""
    if any(s.after <= seq < s.until for s in held):
        return True
    if any(w.last_seq == seq and time_us <= w.last_time_us for w in windows.windows(holdings, history[0].timeline)):
        return True
    branch = next((b for b in history if b.holds(seq)), None)
    return branch is not None and branch.high == seq  # a later branch goes on from here


def _last_in(stretch: Stretch, time_us: int, times: RecordTimes) -> int | None:
    if stretch.last_time_us <= time_us:
        return stretch.until
    if stretch.first_time_us > time_us:
        return None
    seqs = [seq for seq, at in times(stretch) if at <= time_us and seq <= stretch.until]
    return max(seqs, default=None)


def _began(branch: Branch) -> int:
    return branch.line.fork_time_us if branch.line.fork_time_us is not None else branch.line.created_us


def _below(seq: int, branch: Branch) -> bool:
    return branch.high is None or seq <= branch.high


def _distance(window: windows.Window, seq: int | None, time_us: int | None) -> int:
    if time_us is not None:
        return max(window.first_time_us - time_us, time_us - window.last_time_us, 0)
    if seq is not None:
        return max(window.first_seq - seq, seq - window.last_seq, 0)
    return -window.last_time_us


def _text(time_us: int) -> str:
    return to_datetime(time_us).isoformat()
