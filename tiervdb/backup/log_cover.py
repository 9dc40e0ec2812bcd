"""Which objects stand for a timeline's archived log, where merged ones lie beside the parts that they hold. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tiervdb.format import repository_paths as paths

LogKey = paths.PartKey | paths.MergedKey


def span(key: LogKey) -> tuple[int, int]:
    """The first and last number that an object holds."""
    return (key.n, key.n) if isinstance(key, paths.PartKey) else (key.first, key.last)


def cover(keys: Iterable[LogKey]) -> list[LogKey]:
    """The fewest objects of one timeline and shard that hold every number which any of these holds, in order."""
    left = sorted(keys, key=span)
    chosen: list[LogKey] = []
    reached, at, widest = 0, 0, None
    while True:
        while at < len(left) and span(left[at])[0] <= reached + 1:
            widest = left[at] if widest is None or span(left[at])[1] > span(widest)[1] else widest
            at += 1
        if widest is not None and span(widest)[1] > reached:
            chosen.append(widest)
            reached = span(widest)[1]
        elif at < len(left):
            reached = span(left[at])[0] - 1  # numbers are missing
        else:
            return chosen


def by_log(keys: Iterable[str]) -> dict[tuple[str, int], list[LogKey]]:
    """By timeline and shard, the objects of the log among keys of any kind."""
    logs: dict[tuple[str, int], list[LogKey]] = {}
    for key in keys:
        parsed = paths.parse(key)
        if isinstance(parsed, paths.PartKey | paths.MergedKey):
            logs.setdefault((parsed.timeline, parsed.shard), []).append(parsed)
    return logs


def inside(log: Sequence[LogKey]) -> dict[LogKey, list[LogKey]]:
    """By the objects that stand for a log: those others that one of them holds whole, if there are any."""
    chosen = cover(log)
    left = sorted(set(log) - set(chosen), key=span)
    found = {}
    for merged in chosen:
        first, last = span(merged)
        held = [key for key in left if first <= span(key)[0] and span(key)[1] <= last]
        if held:
            found[merged] = held
    return found


def superseded(keys: Iterable[str]) -> set[str]:
    """Of keys of any kind, those of objects of the log that others stand for."""
    return {one.key for log in by_log(keys).values() for one in set(log) - set(cover(log))}
