"""Drills: restores to a random point that are checked and timed, so that it is known that a restore works.

A drill restores from the repository alone, as if the machine and its cold store were lost: cold objects are copied from
the backup, or, where a backup holds them by reference, from the source's store. It is detached, like any restore that
nobody attaches: no timeline is registered, no epoch taken, and nothing is written to the source's cold store.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tiervdb.backup import drill_checks, drill_draw, holdings, hydrate, leases, restore, restoring
from tiervdb.backup import scratch as scratches
from tiervdb.backup.destination import Destination
from tiervdb.backup.drill_checks import Drilled
from tiervdb.backup.drill_words import sentences
from tiervdb.backup.hydrate import Hydrator
from tiervdb.backup.opened import OpenRepository
from tiervdb.backup.pace import UNLIMITED, Limits
from tiervdb.backup.restore_plan import RestorePlan
from tiervdb.backup.scratch import DATABASE, Scratch
from tiervdb.backup.sending import Progress
from tiervdb.config import Options
from tiervdb.engine import open as engine
from tiervdb.engine.identity import this_process
from tiervdb.engine.reader import Reader
from tiervdb.engine.view import View
from tiervdb.errors import CorruptionError, InvalidInputError, StateError, StorageError, TiervdbError
from tiervdb.format import paths as local_paths
from tiervdb.format.repository_operations import DrillOperation
from tiervdb.storage.local_dir import LocalDir
from tiervdb.storage.open import Store, open_store
from tiervdb.storage.os_dir import OsDir
from tiervdb.target import Target

__all__ = ["DrillWish", "run", "sentences"]

RANDOM = "random"  # stands for the target while none was drawn
_COLD = "cold"  # in the scratch directory
_DAMAGE = (CorruptionError, StorageError)
_log = logging.getLogger("tiervdb")


@dataclass(frozen=True)
class DrillWish:
    """How a drill is to be made. ``target``: None for a random one, in a random restorable window.

    ``lazy``: opens before all is there, and fetches the rest then. ``scratch``: an existing directory in which a new
    one is made; None: the system's for temporary files. ``keep``: does not remove it; the log says where it is.
    ``source_options``: the source's cold store with credentials, for what a backup holds there by reference.
    """

    target: Target | None = None
    lazy: bool = False
    scratch: Path | None = None
    source_options: Callable[[str], Store] = Store
    limits: Limits = UNLIMITED
    progress: Progress | None = None
    keep: bool = False


def run(opened: OpenRepository, wish: DrillWish) -> DrillOperation:
    """Restores, checks, measures, and removes what it restored. Its answer says what is wrong: ``error`` if the restore
    itself failed, ``problems`` where what it made is not what it should be; without either the drill went well.

    Raises StateError if nothing can be restored yet, InvalidInputError for a scratch that is no directory; for a target
    that was given, what ``Repository.plan`` raises, but for damage.
    """
    parent = _parent(wish.scratch)
    drill = _Drill(opened, wish)
    try:
        target = drill.choose()
    except _DAMAGE as error:
        return drill.ended(error)
    scratches.sweep(opened.vault, parent, "drill")
    scratch = Scratch(parent, opened.vault.rng, "drill")
    try:
        drill.restore_and_check(target, scratch)
    finally:
        if wish.keep and scratch.path.exists():
            scratch.keep()
        else:
            scratch.remove(opened.vault)
    return drill.ended()


class _Drill:
    """One drill: what is known of it so far."""

    def __init__(self, opened: OpenRepository, wish: DrillWish) -> None:
        vault = opened.vault
        self._opened = opened
        self._vault = vault
        self._wish = wish
        self._started = 0.0
        self._problems: list[str] = []
        now_us = vault.clock.now_us()
        self._done = DrillOperation(
            id=local_paths.random_id(vault.rng),
            started_us=now_us,
            finished_us=now_us,
            owner=this_process(),
            target=RANDOM if wish.target is None else str(wish.target),
            lazy=wish.lazy,
        )

    def choose(self) -> Target:
        """The target, and how old the newest restorable moment is. What is damaged is a problem of every drill."""
        held, damage = holdings.readable(self._vault)
        newest = drill_draw.newest_window(held)
        if newest is not None:
            self._note(rpo_seconds=max(self._done.started_us - newest.last_time_us, 0) / 1e6)
        self._problems += [f"the repository is damaged: {error}" for error in damage]
        target = self._wish.target or drill_draw.draw(held, self._vault.rng, times=not damage)
        if target is None:
            if damage:
                raise damage[0]
            raise StateError(f"nothing can be restored from {self._vault.url} yet: make a backup first, then drill")
        self._note(target=str(target))
        return target

    def restore_and_check(self, target: Target, scratch: Scratch) -> None:
        """Raises what planning a given target raises, but for damage; all else that fails is noted."""
        self._started = self._vault.clock.monotonic()
        try:
            held, plan = restoring.plan(self._opened, target)
        except TiervdbError as error:
            if self._wish.target is not None and not isinstance(error, _DAMAGE):
                raise
            self._failed(error)
            return
        self._note(timeline=plan.timeline, seq=plan.seq, backup=plan.backup.id)
        try:
            # The restore has a lease of its own; this one is for the checks after it, which read the repository, too.
            with leases.take(self._vault, "restore", backups=restore.backups(plan), timelines=restore.timelines(plan)):
                self._restore_and_check(held, restore.as_listed(self._vault, plan), scratch)
        except TiervdbError as error:
            self._failed(error)

    def ended(self, error: Exception | None = None) -> DrillOperation:
        if error is not None:
            self._failed(error)
        self._note(finished_us=self._vault.clock.now_us(), problems=tuple(dict.fromkeys(self._problems)))
        return self._done

    def _restore_and_check(self, held: holdings.Holdings, plan: RestorePlan, scratch: Scratch) -> None:
        scratch.make()
        restored = restore.restore(self._opened, plan, self._destination(plan, scratch.path), self._wish.progress)
        if not self._wish.lazy:
            self._note(hydrated_seconds=self._seconds())
        self._note(time_us=restored.time_us, fetched_bytes=restored.fetched_bytes)
        local, hydrator = self._directory(OsDir(scratch.path / DATABASE))
        later = 0 if hydrator is None else hydrator.missing_bytes
        reader = self._open(local)
        try:
            self._note(open_seconds=self._seconds())
            view = reader.view()
            schemas = list(view.catalog.collections.values())
            self._note(collections=len(schemas), rows=sum(map(view.count, schemas)))
            self._first_query(view, plan)
            if hydrator is not None:
                hydrator.run(self._wish.progress)
            if self._wish.lazy:
                self._note(hydrated_seconds=self._seconds())
            self._check(Drilled(self._vault, held, plan, restored, reader))
        finally:
            if hydrator is not None:
                self._note(fetched_bytes=restored.fetched_bytes + later - hydrator.missing_bytes)
            reader.close()

    def _destination(self, plan: RestorePlan, scratch: Path) -> Destination:
        """A shared cold store is replaced by a directory, so that the source's is not written to, nor needed."""
        shared = plan.backup.cold_url is not None
        return Destination(
            OsDir(scratch),
            DATABASE,
            cold=open_store(scratch / _COLD) if shared else None,
            source_cold=lambda url: open_store(self._wish.source_options(url), create=False),
            lazy=self._wish.lazy,
            limits=self._wish.limits,
        )

    def _directory(self, local: OsDir) -> tuple[LocalDir, Hydrator | None]:
        document = hydrate.read(local)
        if document is None:
            return local, None
        hydrating = hydrate.hydrating(local, document, lambda: self._opened)
        return hydrating, Hydrator(hydrating, document, lambda: self._opened)

    def _open(self, local: LocalDir) -> Reader:
        setting = engine.Setting(create=False, options=Options(background=False))
        return engine.open_reader(local, setting, self._vault.clock, self._vault.rng)[0]

    def _first_query(self, view: View, plan: RestorePlan) -> None:
        try:
            drill_checks.first_query(view, plan.backup.golden)
        except TiervdbError as error:
            self._problems.append(f"the first query was not answered: {error}")
        else:
            self._note(first_query_seconds=self._seconds())

    def _check(self, drilled: Drilled) -> None:
        found = drill_checks.check(drilled)
        self._problems += found.problems
        self._note(
            checked_files=found.files,
            golden_queries=found.queries,
            recall=found.recall,
            golden_share=found.share,
        )

    def _note(self, **what: object) -> None:
        self._done = msgspec.structs.replace(self._done, **what)

    def _failed(self, error: Exception) -> None:
        self._note(error=str(error))

    def _seconds(self) -> float:
        return self._vault.clock.monotonic() - self._started


def _parent(scratch: Path | None) -> Path:
    parent = Path(tempfile.gettempdir()) if scratch is None else scratch.absolute()
    if not parent.is_dir():
        raise InvalidInputError(f"drill: scratch={str(scratch)!r} is no directory; give one that is there, with room")
    return parent
