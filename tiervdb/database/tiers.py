"""Moving rows between local disk and the cold store."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tiervdb.config import TierPolicy
from tiervdb.database.session import Session, named
from tiervdb.database.values import TierMove
from tiervdb.engine import tier_policy
from tiervdb.engine.source import SegmentSource
from tiervdb.engine.tiering import TierResult
from tiervdb.engine.unions import SEEN_BEFORE
from tiervdb.engine.view import Place
from tiervdb.errors import InvalidInputError
from tiervdb.segment import cold_search

Progress = Callable[[int, int], None]  # rows moved; rows to move in all


def demote(session: Session, name: str, fraction: float, progress: Progress | None) -> TierResult:
    """See Database.demote."""
    shard = session.shard("demote")
    return shard.demote(named(shard.view().catalog, name), _fraction(fraction, "demote"), progress)


def promote(session: Session, name: str, fraction: float, progress: Progress | None) -> TierResult:
    """See Database.promote."""
    shard = session.shard("promote")
    return shard.promote(named(shard.view().catalog, name), _fraction(fraction, "promote"), progress)


def plan_tiers(session: Session, policy: TierPolicy) -> tuple[TierMove, ...]:
    """See Database.plan_tiers."""
    if not isinstance(policy, TierPolicy):
        raise InvalidInputError(f"plan_tiers: {policy!r} is not usable; give tiervdb.TierPolicy(...)")
    if session.reader() is None:
        planned = session.shard("plan").plan_policy(policy)
    else:
        planned = tier_policy.plan(session.manifest().segments, {}, policy, session.clock.now_us())
    names = {schema.id: name for name in session.view().collections() if (schema := session.view().schema(name))}
    moves = [move for move in planned if move.collection in names]
    return tuple(TierMove(names[m.collection], m.segment, m.to, m.rows, m.reason) for m in moves)


def warm(session: Session, name: str) -> None:
    """See Database.warm. A search from some row loads what searches load."""
    view = session.view()
    schema = named(view.catalog, name)
    cold = [s.segment for s in view.sources(schema) if isinstance(s, SegmentSource) and s.segment.remote]
    cold_search.warm(cold)
    number = next((n for n, source in enumerate(view.sources(schema)) if source.rows), None)
    if number is not None:
        query = view.vectors(schema, Place(np.array([number]), np.array([0])))
        for _ in range(SEEN_BEFORE):  # from then on segments are searched as one
            view.search(schema, query, 1)


def _fraction(value: float, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not 0 <= value <= 1:
        raise InvalidInputError(f"{what}: fraction={value!r} is not usable; give the part of all rows, 0 to 1")
    return float(value)
