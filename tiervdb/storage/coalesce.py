"""Which ranges of an object are read together: neighbours with a small gap between them share a request. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tiervdb.storage.object_store import ByteRange

GAP_BYTES = 64 << 10  # reading over a gap of that size is cheaper than another request
LONGEST_BYTES = 8 << 20  # longer reads are split, so that they come in parallel


@dataclass(frozen=True, slots=True)
class Run:
    """One request. ``parts``: the numbers of the wanted ranges that it covers."""

    span: ByteRange
    parts: tuple[int, ...]


def coalesce(ranges: Sequence[ByteRange], gap: int = GAP_BYTES, longest: int = LONGEST_BYTES) -> list[Run]:
    """The requests that bring all ranges. A range is never split; ranges may overlap and come in any order."""
    runs: list[Run] = []
    parts: list[int] = []
    start = end = 0
    for number in sorted(range(len(ranges)), key=lambda n: (ranges[n].start, ranges[n].end)):
        one = ranges[number]
        if parts and (one.start - end > gap or max(end, one.end) - start > longest):
            runs.append(Run(ByteRange(start, end - start), tuple(parts)))
            parts = []
        if not parts:
            start, end = one.start, one.start
        parts.append(number)
        end = max(end, one.end)
    if parts:
        runs.append(Run(ByteRange(start, end - start), tuple(parts)))
    return runs


def cut(ranges: Sequence[ByteRange], runs: Sequence[Run], pieces: Sequence[bytes]) -> list[bytes]:
    """The bytes of each range, out of what the requests brought."""
    found = [b""] * len(ranges)
    for run, piece in zip(runs, pieces, strict=True):
        for number in run.parts:
            at = ranges[number].start - run.span.start
            found[number] = piece[at : at + ranges[number].length]
    return found
