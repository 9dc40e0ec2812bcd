"""What an operator wants to know first: what can be restored now, and what is wrong. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tiervdb.cli import readable
from tiervdb.cli.graph.values import BackupNode, CopyNode, DrillNode, Gap, Graph, Span

SHORT = 12  # characters of an id that people see


@dataclass(frozen=True)
class Summary:
    """``window``: the newest restorable one, of the current timeline if that has any; ``age_seconds``: of its last
    moment when the picture was made. ``backup``: the newest listed one. ``problems``: sentences, worst first.
    """

    window: Span | None
    age_seconds: float | None
    backup: BackupNode | None
    drill: DrillNode | None
    problems: tuple[str, ...]


def summary(graph: Graph) -> Summary:
    """The answer in short."""
    window = _newest_window(graph)
    drill = max(graph.drills, key=lambda drill: drill.finished, default=None)
    listed = [backup for backup in graph.backups if backup.listed]
    return Summary(
        window=window,
        age_seconds=max(0.0, (graph.generated - window.last_time).total_seconds()) if window else None,
        backup=max(listed, key=lambda backup: backup.created, default=None),
        drill=drill,
        problems=tuple(_problems(graph, window, drill)),
    )


def _newest_window(graph: Graph) -> Span | None:
    current = {line.id for line in graph.timelines if line.current}
    of_current = [window for window in graph.windows if window.timeline in current]
    return max(of_current or graph.windows, key=lambda window: (window.last_time, window.last_seq), default=None)


def _problems(graph: Graph, window: Span | None, drill: DrillNode | None) -> list[str]:
    found = []
    if window is None:
        found.append("nothing can be restored")
    elif any(line.current for line in graph.timelines) and not _is_current(graph, window.timeline):
        found.append("nothing of the current timeline can be restored")
    if drill is not None and not drill.ok:
        why = f": {'; '.join(drill.problems)}" if drill.problems else ""
        found.append(f"the last drill failed, {readable.moment(drill.finished)}{why}")
    found += _gaps(graph.gaps)
    found += [f"the last copy to {copy.target_url} failed: {copy.error}" for copy in _last_copies(graph.copies)]
    failed = sorted((restore for restore in graph.restores if restore.error), key=lambda restore: restore.finished)
    if failed:
        many = "" if len(failed) == 1 else f", the last of {len(failed):,} that failed"
        found.append(f"a restore failed, {readable.moment(failed[-1].finished)}{many}: {failed[-1].error}")
    return found


def _is_current(graph: Graph, timeline: str) -> bool:
    return any(line.current for line in graph.timelines if line.id == timeline)


def _gaps(gaps: Sequence[Gap]) -> list[str]:
    """The newest three, each; the others as a count."""
    newest = sorted(gaps, key=lambda gap: (gap.last_time, gap.last_seq), reverse=True)
    found = [
        f"{commits(gap.first_seq, gap.last_seq)} of timeline {gap.timeline[:SHORT]} cannot be restored: {gap.why}"
        for gap in newest[:3]
    ]
    return found if len(newest) <= 3 else [*found, f"there are {readable.plural(len(newest) - 3, 'more gap')}"]


def _last_copies(copies: Sequence[CopyNode]) -> list[CopyNode]:
    """Of each target the last one, if it failed."""
    last = {copy.target_url: copy for copy in sorted(copies, key=lambda copy: copy.finished)}
    return [copy for copy in last.values() if copy.error]


def commits(first: int, last: int) -> str:
    """``commit 7`` or ``commits 7 to 1,200``."""
    return f"commit {first:,}" if first == last else f"commits {first:,} to {last:,}"


def duration(seconds: float | None) -> str:
    """``0.35 s``, ``12 s``, ``3 min 20 s``, ``5 h 3 min``, ``2 d 4 h``; nothing for None."""
    if seconds is None:
        return ""
    if seconds < 9.995:
        return f"{seconds:.2f} s"
    whole = round(seconds)
    for unit, name, below, below_name in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= unit:
            rest = whole % unit // below
            return f"{whole // unit:,} {name}" + (f" {rest} {below_name}" if rest else "")
    return f"{whole} s"
