"""The picture for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from tiervdb.cli import readable
from tiervdb.cli.graph.summary import SHORT, Summary, commits, duration, summary
from tiervdb.cli.graph.values import BackupNode, DrillNode, Gap, Graph, RestoreNode, Span, Timeline

NEWEST = 8  # backups that are listed
LANES = 40  # timelines that are drawn
NAME = SHORT + 3  # a timeline's id, a star if it is the current one, space

WINDOW, LOG, GAP, NOTHING = "━", "─", "╳", " "
FULL, INCREMENTAL, UNLISTED = "F", "i", "·"


def text(graph: Graph, width: int) -> list[str]:
    """Lines of at most ``width`` characters, where that is 40 or more."""
    width = max(40, width)
    said = summary(graph)
    lines = [
        f"{graph.url}, {readable.moment(graph.generated)}",
        *_answers(said),
        *_lanes(graph, width),
        *_backups(graph.backups, width),
        *_tree(graph),
        *_copies(graph),
    ]
    return [_fitted(line, width) for line in lines]


def _answers(said: Summary) -> list[str]:
    lines = []
    if said.window is not None:
        window = said.window
        lines.append(f"restorable  {readable.moment(window.first_time)} to {readable.moment(window.last_time)}")
        lines.append(f"            {commits(window.first_seq, window.last_seq)}, {duration(said.age_seconds)} old")
    if said.backup is not None:
        lines.append(f"backup      {readable.moment(said.backup.created)}, {_named(said.backup)}")
    lines += _drill(said.drill)
    lines += [f"{'problem' if at == 0 else '':<12}{problem}" for at, problem in enumerate(said.problems)]
    return lines


def _drill(drill: DrillNode | None) -> list[str]:
    if drill is None:
        return ["drill       never"]
    rto = [
        f"{duration(seconds)} {until}"
        for seconds, until in (
            (drill.first_query_seconds, "to the first answer"),
            (drill.hydrated_seconds, "to all local"),
        )
        if seconds is not None
    ]
    measured = ([f"RTO {', '.join(rto)}"] if rto else []) + (
        [f"RPO {duration(drill.rpo_seconds)}"] if drill.rpo_seconds is not None else []
    )
    lines = [f"drill       {readable.moment(drill.finished)}, {'ok' if drill.ok else 'FAILED'}"]
    return [*lines, f"            {'; '.join(measured)}"] if measured else lines


def _named(backup: BackupNode) -> str:
    label = f" {backup.label!r}" if backup.label else ""
    return f"{backup.kind} {backup.id[:SHORT]}{label}"


def _lanes(graph: Graph, width: int) -> list[str]:
    """Two lines a timeline: marks of its backups above a bar of what can be restored."""
    drawn: list[Span | Gap] = [*graph.windows, *graph.log, *graph.gaps]
    times = [time for span in drawn for time in (span.first_time, span.last_time)] + [
        backup.time for backup in graph.backups
    ]
    if not times or not graph.timelines:
        return []
    first, last = min(times), max(times)
    columns = width - NAME
    lines = ["", " " * NAME + _ends(first, last, columns)]
    newest = sorted(graph.timelines, key=lambda line: (line.created, line.id))[-LANES:]
    for line in newest:
        marks, bar = _lane(graph, line, first, last, columns)
        star = "*" if line.current else " "
        lines += [" " * NAME + marks, f"{line.id[:SHORT]} {star} {bar}"]
    if len(graph.timelines) > LANES:
        lines.append(f"and {readable.plural(len(graph.timelines) - LANES, 'older timeline')}")
    legend = [
        f"{WINDOW} restorable",
        f"{LOG} log only",
        f"{GAP} gap",
        f"{FULL} full",
        f"{INCREMENTAL} incremental",
        f"{UNLISTED} unlisted",
        "* current",
    ]
    return [*lines, "  ".join(legend)]


def _ends(first: datetime, last: datetime, columns: int) -> str:
    left, right = readable.moment(first), readable.moment(last)
    room = columns - len(left) - len(right)
    return left + " " * room + right if room >= 2 else left[: columns - 1]


def _lane(graph: Graph, line: Timeline, first: datetime, last: datetime, columns: int) -> tuple[str, str]:
    seconds = max((last - first).total_seconds(), 1e-6)

    def at(time: datetime) -> int:
        return min(columns - 1, int((time - first).total_seconds() / seconds * columns))

    bar, marks = [NOTHING] * columns, [NOTHING] * columns
    for spans, character in ((graph.log, LOG), (graph.windows, WINDOW), (graph.gaps, GAP)):
        for span in spans:
            if span.timeline == line.id:
                begin, end = at(span.first_time), at(span.last_time) + 1
                bar[begin:end] = character * (end - begin)
    for backup in sorted((node for node in graph.backups if node.timeline == line.id), key=_weight):
        marks[at(backup.time)] = _mark(backup)
    return "".join(marks), "".join(bar)


def _mark(backup: BackupNode) -> str:
    if not backup.listed:
        return UNLISTED
    return FULL if backup.kind == "full" else INCREMENTAL


def _weight(backup: BackupNode) -> tuple[bool, bool]:
    """What is drawn last covers what is beside it in the same column."""
    return backup.listed, backup.kind == "full"


def _backups(backups: Sequence[BackupNode], width: int) -> list[str]:
    newest = sorted(backups, key=lambda backup: (backup.created, backup.id), reverse=True)
    if not newest:
        return ["", "no backups"]
    rows = [_cells(backup) for backup in newest[:NEWEST]]
    if width < 100:
        rows = [[id, time, kind, sent, remarks] for id, time, kind, _, sent, remarks in rows]
    rooms = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["", f"newest of {readable.plural(len(newest), 'backup')}"]
    for row in rows:
        cells = [
            cell.ljust(room) if at < 3 else cell.rjust(room)
            for at, (cell, room) in enumerate(zip(row[:-1], rooms[:-1], strict=True))
        ]
        lines.append("  ".join([*cells, row[-1]]))
    return lines


def _cells(backup: BackupNode) -> list[str]:
    sizes = [readable.size(backup.bytes), f"{readable.size(backup.sent_bytes)} sent"]
    return [backup.id[:SHORT], readable.moment(backup.created), backup.kind, *sizes, ", ".join(_remarks(backup))]


def _remarks(backup: BackupNode) -> list[str]:
    remarks = [repr(backup.label)] if backup.label else []
    if not backup.listed:
        remarks.append(f"unlisted: {backup.why_unlisted}" if backup.why_unlisted else "unlisted")
    if backup.hold:
        remarks.append(f"held: {backup.hold}")
    return remarks


def _tree(graph: Graph) -> list[str]:
    """Timelines below those that they left."""
    known = {line.id for line in graph.timelines}
    children: dict[str | None, list[Timeline]] = {}
    for line in sorted(graph.timelines, key=lambda line: (line.created, line.id)):
        children.setdefault(line.parent if line.parent in known else None, []).append(line)
    restores = {restore.timeline: restore for restore in graph.restores if not restore.error}
    if len(known) < 2 and not restores:
        return []
    lines = ["", "timelines"]
    waiting = [(line, "") for line in reversed(children.get(None, []))]
    while waiting:
        line, indent = waiting.pop()
        lines.append(indent + _said(line, restores.get(line.id)))
        waiting += [(child, f"{indent}  ") for child in reversed(children.get(line.id, []))]
    return lines


def _said(line: Timeline, restore: RestoreNode | None) -> str:
    words = [line.id[:SHORT]]
    if line.parent is not None and line.fork_seq is not None:
        words.append(f"from commit {line.fork_seq:,}")
    if restore is not None:
        words.append(f"restored{' lazily' if restore.lazy else ''} in {duration(restore.seconds)}")
    words.append(readable.moment(line.created))
    if line.fence_seq is not None:
        words.append(f"ended at commit {line.fence_seq:,}")
    return ", ".join(words) + (" (current)" if line.current else "")


def _copies(graph: Graph) -> list[str]:
    last = {copy.target_url: copy for copy in sorted(graph.copies, key=lambda copy: copy.finished)}
    if not last:
        return []
    return ["", "copies"] + [
        f"{url}, {readable.moment(copy.finished)}, "
        + (
            f"FAILED: {copy.error}"
            if copy.error
            else f"{readable.plural(copy.backups, 'backup')}, {readable.size(copy.bytes)}"
        )
        for url, copy in last.items()
    ]


def _fitted(line: str, width: int) -> str:
    """One line, also where a label or an error holds several."""
    line = "".join(character if character.isprintable() else " " for character in line).rstrip()
    return line if len(line) <= width else f"{line[: width - 1]}…"
