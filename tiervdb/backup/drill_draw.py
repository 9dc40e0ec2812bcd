"""What a drill restores to: a random point of a random restorable window. Pure, but for the random numbers."""

from __future__ import annotations

import random

from tiervdb.backup.holdings import Holdings
from tiervdb.backup.windows import Window, windows
from tiervdb.target import Target
from tiervdb.types import to_datetime

LATEST_SHARE = 0.5  # of the drills of the newest window: its last commit, which most restores are to
NEWEST_SHARE = 0.5  # of all drills; the others are spread evenly over all windows, however short


def draw(held: Holdings, rng: random.Random, *, times: bool) -> Target | None:
    """A commit, or with ``times`` also a moment, which is resolved by other means. None: nothing can be restored.

    Every window may come, and the newest one comes more often: it is what a disaster would need.
    """
    every = windows(held)
    if not every:
        return None
    newest = newest_window(held) or max(every, key=lambda w: w.last_time_us)
    window = newest if rng.random() < NEWEST_SHARE else rng.choice(every)
    if window is newest and rng.random() < LATEST_SHARE:
        return Target.seq(window.last_seq, timeline=window.timeline)
    if times and rng.random() < 0.5:
        moment = to_datetime(rng.randint(window.first_time_us, window.last_time_us))
        return Target.time(moment, timeline=window.timeline)
    return Target.seq(rng.randint(window.first_seq, window.last_seq), timeline=window.timeline)


def newest_window(held: Holdings) -> Window | None:
    """That of the current timeline which reaches furthest; None if nothing of it can be restored yet."""
    current = held.lineage.current
    own = [] if current is None else windows(held, current.timeline.id)
    return max(own, key=lambda w: w.last_time_us, default=None)
