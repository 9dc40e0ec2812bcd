"""The picture's data as compact JSON: rows instead of members, ids as indexes, times as milliseconds since 1970."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from tiervdb.cli.graph.summary import summary
from tiervdb.cli.graph.values import BackupNode, Gap, Graph, Span

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
UNSAFE = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}  # what could end a script element, or begin another


def packed(graph: Graph) -> str:
    """Plain ASCII that may stand inside a script element, whatever the labels say."""
    graph = replace(graph, backups=tuple(sorted(graph.backups, key=lambda backup: (backup.created, backup.id))))
    text = json.dumps(_document(graph), separators=(",", ":"), default=_milliseconds)
    for character, escape in UNSAFE.items():
        text = text.replace(character, escape)
    return text


def _document(graph: Graph) -> dict[str, Any]:
    """An id of a timeline or backup that is in the picture is its index; any other stays a string."""
    lines: dict[str, int] = {line.id: at for at, line in enumerate(graph.timelines)}
    backups: dict[str, int] = {backup.id: at for at, backup in enumerate(graph.backups)}

    def line(id: str | None) -> int | str | None:
        return None if id is None else lines.get(id, id)

    def backup(id: str) -> int | str:
        return backups.get(id, id)

    said = summary(graph)
    texts: dict[str, int] = {}
    rows = [_backup(node, line(node.timeline), texts) for node in graph.backups]
    return {
        "url": graph.url,
        "generated": graph.generated,
        "timelines": [
            [t.id, t.database_id, line(t.parent), t.fork_seq, t.fork_time, t.created, t.fence_seq, t.current]
            for t in graph.timelines
        ],
        "windows": [_span(span, line(span.timeline)) for span in graph.windows],
        "log": [_span(span, line(span.timeline)) for span in graph.log],
        "gaps": [[*_span(gap, line(gap.timeline)), gap.why] for gap in graph.gaps],
        "backups": rows,
        "texts": list(texts),
        "reuses": _reuses(graph, backups),
        "snapshots": [[line(e.parent), e.child, e.seq, e.time] for e in graph.edges if e.kind == "snapshot"],
        "forks": _forks(graph, lines),
        "restores": [
            asdict(r) | {"backup": backup(r.backup), "from": line(r.from_timeline), "timeline": line(r.timeline)}
            for r in graph.restores
        ],
        "drills": [asdict(d) | {"backup": backup(d.backup), "timeline": line(d.timeline)} for d in graph.drills],
        "copies": [asdict(copy) for copy in graph.copies],
        "summary": {
            "window": _span(said.window, line(said.window.timeline)) if said.window else None,
            "age": said.age_seconds,
            "backup": backup(said.backup.id) if said.backup else None,
            "drill": graph.drills.index(said.drill) if said.drill else None,
            "problems": said.problems,
        },
    }


def _span(span: Span | Gap, timeline: int | str | None) -> list[Any]:
    return [timeline, span.first_seq, span.last_seq, span.first_time, span.last_time]


def _backup(node: BackupNode, timeline: int | str | None, texts: dict[str, int]) -> list[Any]:
    """One row; the texts that many backups share are indexes into ``texts``."""

    def shared(text: str | None) -> int | None:
        return None if text is None else texts.setdefault(text, len(texts))

    return [
        node.id,
        int(node.kind == "full"),
        node.label,
        timeline,
        node.seq,
        node.time,
        node.first_seq,
        node.created,
        round(node.seconds, 3),
        node.hot_bytes,
        node.cold_bytes,
        node.log_bytes,
        node.sent_bytes,
        node.files,
        int(node.listed),
        shared(node.why_unlisted),
        shared(node.hold),
        shared(node.user),
        shared(node.host),
    ]


def _reuses(graph: Graph, backups: dict[str, int]) -> list[list[int | str]]:
    """For each backup those whose objects it lists too: how many places before it each stands, or a lost one's id."""
    found: list[list[int | str]] = [[] for _ in graph.backups]
    for edge in graph.edges:
        if edge.kind == "reuses" and edge.child in backups:
            child = backups[edge.child]
            parent = backups.get(edge.parent)
            found[child].append(edge.parent if parent is None else child - parent)
    return found


def _forks(graph: Graph, lines: dict[str, int]) -> Iterable[list[Any]]:
    """Those that the timelines themselves do not tell."""
    known = {(line.parent, line.id) for line in graph.timelines}
    return [
        [lines[edge.parent], lines[edge.child], edge.seq, edge.time]
        for edge in graph.edges
        if edge.kind == "fork"
        and edge.parent in lines
        and edge.child in lines
        and (edge.parent, edge.child) not in known
    ]


def _milliseconds(value: Any) -> int:
    if isinstance(value, datetime):
        return (value - EPOCH) // timedelta(milliseconds=1)
    raise TypeError(f"{type(value).__name__} has no place in the page")
