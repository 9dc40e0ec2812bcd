"""Which past states are still held here: each pin, and the current manifest, begins a stretch that can be replayed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tiervdb.engine import commit_log, pins
from tiervdb.engine.manifest_store import ManifestStore
from tiervdb.errors import OutsideWindowError
from tiervdb.format.manifest import Manifest
from tiervdb.storage.local_dir import LocalDir
from tiervdb.types import to_datetime


@dataclass(frozen=True)
class Stretch:
    """Every state from the manifest's seq to ``last_seq`` can be opened."""

    manifest: Manifest
    last_seq: int

    @property
    def first_seq(self) -> int:
        return self.manifest.flushed_seq


def stretches(local: LocalDir, shard: int, manifests: ManifestStore, visible_seq: int) -> list[Stretch]:
    """What local pins and log hold, oldest first."""
    listed = set(manifests.versions())
    held = [p for p in pins.listed(local, shard) if p.manifest_version in listed]
    past = [Stretch(manifests.read(pin.manifest_version), pin.seq) for pin in held]
    current = Stretch(manifests.current(), visible_seq)
    return sorted([*past, current], key=lambda s: (s.first_seq, s.last_seq))


def at_seq(held: Sequence[Stretch], seq: int) -> Stretch:
    """The stretch with the least to replay; OutsideWindowError names what is near."""
    fitting = [s for s in held if s.first_seq <= seq <= s.last_seq]
    if not fitting:
        raise OutsideWindowError(f"commit {seq} is not held here any more, or not yet; {_nearest(held, seq)}")
    return fitting[-1]


def seq_at_time(local: LocalDir, shard: int, held: Sequence[Stretch], time_us: int) -> int:
    """The last commit at or before a time, if the state after it is held."""
    known = commit_log.read(local, shard, held[-1].last_seq, {})
    times = {timed.commit.seq: timed.commit.time_us for timed in known}
    times |= {s.manifest.flushed_seq: s.manifest.flushed_time_us for s in held}
    earlier = [seq for seq, at in times.items() if at <= time_us]
    if not earlier:
        raise OutsideWindowError(
            f"nothing that is held here is as old as {to_datetime(time_us).isoformat()}; {_nearest(held, 0)}"
        )
    seq = max(earlier)
    complete = seq == held[-1].last_seq or seq + 1 in times
    if not complete:
        raise OutsideWindowError(
            f"which commit was the last at {to_datetime(time_us).isoformat()} is not known here any more; "
            f"{_nearest(held, seq)}"
        )
    at_seq(held, seq)
    return seq


def _nearest(held: Sequence[Stretch], seq: int) -> str:
    before = [s.last_seq for s in held if s.last_seq < seq]
    after = [s.first_seq for s in held if s.first_seq > seq]
    near = [str(n) for n in (max(before, default=None), min(after, default=None)) if n is not None]
    spans = ", ".join(sorted({f"{s.first_seq} to {s.last_seq}" for s in held}))
    nearest = " and ".join(near) or str(min(s.first_seq for s in held))
    return f"the nearest that can be opened: {nearest} (held: {spans}). A snapshot keeps a state for later"
