"""The command: the steps in order, each shown as it is done."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

import tiervdb
from tiervdb.cli.demo import disaster, kill, place, show, steps
from tiervdb.cli.demo.disaster import Drilled, Restored
from tiervdb.cli.demo.kill import KillReport
from tiervdb.cli.demo.place import Place
from tiervdb.cli.demo.steps import LookedBack
from tiervdb.cli.example_data import Words, load_words
from tiervdb.cli.options import Json
from tiervdb.cli.output import Output
from tiervdb.errors import CorruptionError

Folder = Annotated[Path, typer.Option("--path", help="Folder to make; an earlier demo's is replaced.")]
Cold = Annotated[str | None, typer.Option("--cold", help="Cold store, say s3://bucket/prefix.  [default: a subfolder]")]


def demo(path: Folder = place.DEFAULT, cold: Cold = None, json: Json = False) -> None:
    """See it work, on 20,000 real words: two tiers, a killed writer, a backup, a restore. Under a minute."""
    output = Output(json)
    words = load_words()
    here, replaced = place.prepare(path)
    started = steps.clock.monotonic()
    output.say(
        f"{len(words):,} English words with their GloVe vectors of {words.dim} dimensions, in {here.words}", "bold"
    )
    if replaced:
        output.say("(replacing what an earlier demo left there)", "dim")
    done = {
        **two_tiers(output, words, here, cold),
        "killed_writer": killed_writer(output, words, here),
        **protected(output, words, here),
        "seconds": steps.clock.monotonic() - started,
    }
    output.document({"path": here.words, "clone": here.copy, **done})
    show.farewell(output, here, done["seconds"])
    insist(done["killed_writer"], done["looked_back"], done["restored"], done["drilled"], words)


def two_tiers(output: Output, words: Words, here: Place, cold: str | None) -> dict[str, Any]:
    """Load, demote, search."""
    with tiervdb.open(here.words, cold=cold) as db:
        show.title(output, 1, "Load")
        loaded = with_progress(output, "load", lambda advance: steps.load(db, words, advance))
        show.loaded(output, loaded)
        show.title(output, 2, f"Demote {steps.COLD_FRACTION:.0%} to the cold tier")
        demoted = with_progress(output, "demote", lambda advance: steps.demote(db, advance))
        show.demoted(output, demoted)
        show.title(output, 3, "Search both tiers")
        searched = steps.searches(db, words)
        show.searched(output, searched)
    return {"loaded": loaded, "demoted": demoted, "searches": searched}


def with_progress(output: Output, label: str, step: Callable[..., Any]) -> Any:
    with output.progress(f"   {label}", unit="words") as advance:
        return step(advance)


def killed_writer(output: Output, words: Words, here: Place) -> KillReport:
    """Nobody has the database open here: the child is its writer."""
    show.title(output, 4, "Kill a writer with SIGKILL")
    reports = kill.kill_a_writer(here.words, random.SystemRandom())
    started = steps.clock.monotonic()
    with tiervdb.open(here.words, create=False) as db:
        report = kill.compare(db, words, reports, steps.clock.monotonic() - started)
    show.killed(output, report)
    return report


def protected(output: Output, words: Words, here: Place) -> dict[str, Any]:
    """Back up, look at the past, lose everything, restore, drill."""
    with tiervdb.open(here.words, create=False, repository=here.repository) as db:
        show.title(output, 5, "Back up to a repository")
        backed_up = disaster.back_up(db)
        show.backed_up(output, backed_up, here)
        show.title(output, 6, "Snapshot, delete half, look back, clone")
        looked_back = steps.look_back(db, words, here.copy)
        show.looked_back(output, looked_back)
    show.title(output, 7, "Lose the directory, restore to the moment before the delete")
    restored = disaster.lose_and_restore(here.words, here.repository, words)
    show.restored(output, restored, here)
    show.title(output, 8, "Try another restore, and ask what is safe")
    drilled = disaster.drilled(here.repository)
    show.drilled(output, drilled)
    return {"backed_up": backed_up, "looked_back": looked_back, "restored": restored, "drilled": drilled}


def insist(killed: KillReport, back: LookedBack, restored: Restored, drilled: Drilled, words: Words) -> None:
    """A demo whose promises did not hold must not end like one whose did."""
    held = killed.held and back.same_answers and drilled.drill.ok
    if not held or not len(words) == restored.rows == restored.same:
        raise CorruptionError(
            "the demo did not find what it must: see above, and please report it with what it left behind"
        )
