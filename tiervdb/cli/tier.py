"""``tiervdb tier PATH``, ``tiervdb tier demote | promote``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import typer

import tiervdb
from tiervdb.cli import readable
from tiervdb.cli.failure import Commands
from tiervdb.cli.opening import Opening, on_database
from tiervdb.cli.options import CollectionName, DryRun, Json, duration
from tiervdb.cli.output import Output
from tiervdb.errors import InvalidInputError


class TierCommands(Commands):
    """``tier PATH`` is short for ``tier apply PATH``."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        named = bool(args) and (args[0].startswith("-") or self.get_command(ctx, args[0]) is not None)
        return super().resolve_command(ctx, args if named else ["apply", *args])


app = typer.Typer(cls=TierCommands, help="Move rows between local disk and the cold store.", no_args_is_help=True)

Fraction = Annotated[float, typer.Option(help="The part of the collection that is to be there, 0 to 1.")]


@dataclass(frozen=True)
class Plan:
    """``rows`` that would move, ``of`` all rows of the collection."""

    collection: str
    rows: int
    of: int


@app.command("apply")
@on_database
def apply(
    opening: Opening,
    hot_max_rows: Annotated[int | None, typer.Option(help="Hot rows of a collection, at most.")] = None,
    hot_max_bytes: Annotated[int | None, typer.Option(help="Local bytes of its hot segments, at most.")] = None,
    low_water: Annotated[float, typer.Option(help="The part of a limit that is left when it was exceeded.")] = 0.8,
    demote_after: Annotated[str | None, typer.Option(help="Age from which segments go: 12h, 30d.")] = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Move what a policy wants moved, and do all other due work. `tier PATH` is short for it.

    With --dry-run only the plan is printed; rows that were not flushed yet are not in it.
    """
    age = duration("--demote-after", demote_after)
    policy = tiervdb.TierPolicy(hot_max_bytes, hot_max_rows, low_water, None if age is None else age.total_seconds())
    output = Output(json)
    if dry_run:
        with opening.reading() as db:
            moves = db.plan_tiers(policy)
    else:
        options = tiervdb.Options(background=False)
        with opening.open(create=False, tiering=policy, options=options) as db:
            db.flush()
            moves = db.plan_tiers(policy)
            db.maintain()
    output.document({"done": not dry_run, "moves": moves})
    for move in moves:
        what = f"{'would move' if dry_run else 'due'}: {readable.plural(move.rows, 'row')} of {move.collection!r}"
        output.say(f"{what} to {move.to}, segment {move.segment[:8]}: {move.reason}")
    if not moves:
        limits = hot_max_rows is not None or hot_max_bytes is not None or age is not None
        hint = "" if limits else ": no limit was given, and a policy is not remembered. See --help for the limits"
        output.say(f"nothing is to be moved{hint}")
    elif not dry_run:
        output.say("done")


@app.command("demote")
@on_database
def demote(
    opening: Opening,
    collection: CollectionName,
    fraction: Fraction = 1.0,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Move rows to the cold store, the oldest first, until that part of the collection is there."""
    move("demote", opening, collection, fraction, dry_run, Output(json))


@app.command("promote")
@on_database
def promote(
    opening: Opening,
    collection: CollectionName,
    fraction: Fraction = 1.0,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Move rows back to local disk, the newest first, whole cold segments at a time."""
    move("promote", opening, collection, fraction, dry_run, Output(json))


def move(what: str, opening: Opening, collection: str, fraction: float, dry_run: bool, output: Output) -> None:
    """Either way, or only the plan."""
    if dry_run:
        with opening.reading() as db:
            plan = planned(db, collection, fraction, to_cold=what == "demote")
        output.document(plan)
        least = "" if what == "demote" else "at least "
        output.say(f"would {what} {least}{readable.plural(plan.rows, 'row')} of {plan.of:,} in {collection!r}")
        return
    with opening.writing() as db:
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
