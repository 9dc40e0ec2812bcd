"""Two actors that take turns at a store: a plan says who makes the next so many calls, so that any race can be had."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from tests.support.stepped_store import SteppedStore
from tiervdb.storage.object_store import ObjectStore

T = TypeVar("T")
Plan = Sequence[tuple[str, int]]  # an actor, and how many calls it makes then


class Turns:
    """Lets calls through as the plan says, and all once it is done. An actor that has ended misses its turns."""

    def __init__(self, plan: Plan) -> None:
        self._plan = list(plan)
        self._ended: set[str] = set()
        self._changed = threading.Condition()
        self.made: dict[str, int] = {}

    def take(self, actor: str) -> None:
        """Returns when it is the actor's turn."""
        with self._changed:
            self._changed.wait_for(lambda: self._may(actor), timeout=30)
            self.made[actor] = self.made.get(actor, 0) + 1
            if self._plan:
                who, left = self._plan[0]
                self._plan[0] = (who, left - 1)
            self._changed.notify_all()

    def end(self, actor: str) -> None:
        """The actor makes no more calls."""
        with self._changed:
            self._ended.add(actor)
            self._changed.notify_all()

    def _may(self, actor: str) -> bool:
        while self._plan and (self._plan[0][1] <= 0 or self._plan[0][0] in self._ended):
            self._plan.pop(0)
        return not self._plan or self._plan[0][0] == actor


class TurnStore(SteppedStore):
    """One actor's way to a store."""

    def __init__(self, inner: ObjectStore, actor: str, turns: Turns) -> None:
        super().__init__(inner)
        self._actor = actor
        self._turns = turns

    def around(self, what: str, call: Callable[[], T]) -> T:
        self._turns.take(self._actor)
        return call()
