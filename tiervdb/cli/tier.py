"""``tiervdb tier demote | promote``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

import tiervdb
from tiervdb.cli import readable
from tiervdb.cli.failure import Commands
from tiervdb.cli.opening import reading, writing
from tiervdb.cli.options import CollectionName, DatabasePath, DryRun, Json
from tiervdb.cli.output import Output
from tiervdb.errors import InvalidInputError

app = typer.Typer(cls=Commands, help="Move rows between local disk and the cold store.", no_args_is_help=True)

Fraction = Annotated[float, typer.Option(help="The part of the collection that is to be there, 0 to 1.")]


@dataclass(frozen=True)
class Plan:
    """``rows`` that would move, ``of`` all rows of the collection."""

    collection: str
    rows: int
    of: int


@app.command("demote")
def demote(
    path: DatabasePath,
    collection: CollectionName,
    fraction: Fraction = 1.0,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Move rows to the cold store, the oldest first, until that part of the collection is there."""
    move("demote", path, collection, fraction, dry_run, Output(json))


@app.command("promote")
def promote(
    path: DatabasePath,
    collection: CollectionName,
    fraction: Fraction = 1.0,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Move rows back to local disk, the newest first, whole cold segments at a time."""
    move("promote", path, collection, fraction, dry_run, Output(json))


def move(what: str, path: Path, collection: str, fraction: float, dry_run: bool, output: Output) -> None:
    """Either way, or only the plan."""
    if dry_run:
        with reading(path) as db:
            plan = planned(db, collection, fraction, to_cold=what == "demote")
        output.document(plan)
        least = "" if what == "demote" else "at least "
        output.say(f"would {what} {least}{readable.plural(plan.rows, 'row')} of {plan.of:,} in {collection!r}")
        return
    with writing(path) as db:
        run = db.demote if what == "demote" else db.promote
        with output.progress(f"{what} {collection}") as advance:
            moved = run(collection, fraction, progress=advance)
        stats = {c.name: c for c in db.stats().collections}[collection]
    output.document({"moved": moved, "collection": stats})
    output.say(f"{what}d {readable.plural(moved.rows, 'row')}, {readable.size(moved.bytes)} of objects")
    output.say(f"{collection!r} now: {stats.hot_rows:,} hot, {stats.cold_rows:,} cold")


def planned(db: tiervdb.Database, collection: str, fraction: float, to_cold: bool) -> Plan:
    """How many rows are missing on the wanted side. A demotion splits a segment to meet it, a promotion does not."""
    if not 0 <= fraction <= 1:
        raise InvalidInputError(f"--fraction {fraction} is not usable; give a number from 0 to 1")
    stats = {c.name: c for c in db.stats().collections}.get(db[collection].name)
    assert stats is not None
    there = stats.cold_rows if to_cold else stats.rows - stats.cold_rows
    return Plan(collection, max(0, round(fraction * stats.rows) - there), stats.rows)
