"""``tiervdb windows``, ``history``, ``restore`` and ``attach``: what a repository holds, and bringing it back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

import typer

import tiervdb
from tiervdb.backup.repository import Repository
from tiervdb.cli import readable
from tiervdb.cli.options import DryRun, Json
from tiervdb.cli.output import Output
from tiervdb.cli.points import Exclusive, TargetText, TimelineId, target
from tiervdb.cli.report import LOG_COLUMNS
from tiervdb.cli.repository import RepositoryChoice, on_repository, on_repository_choice

_NAME = "or with --config its name in that file."
WINDOW_COLUMNS: dict[str, Callable[[Any], str]] = {
    "timeline": readable.text,
    "first_seq": readable.text,
    "last_seq": readable.text,
    "first_time": datetime.isoformat,
    "last_time": datetime.isoformat,
    "backups": lambda ids: str(len(ids)),
}


@on_repository
def windows(
    source: Repository,
    timeline: TimelineId = None,
    json: Json = False,
) -> None:
    """Say what can be restored: the gap-free intervals of commits and times."""
    found = source.windows(timeline)
    Output(json).rows([asdict(window) for window in found], WINDOW_COLUMNS, empty="nothing can be restored yet")


@on_repository
def history(
    source: Repository,
    timeline: TimelineId = None,
    json: Json = False,
) -> None:
    """List what was committed when, from the repository alone."""
    output = Output(json)
    with output.working("reading the log"):
        table = source.log(timeline)
    output.rows(table.to_pylist(), LOG_COLUMNS, empty="no commits are held")


@on_repository_choice
def restore(
    chosen: RepositoryChoice,
    path: Annotated[str, typer.Argument(metavar="PATH", help=f"Directory of the restored database, {_NAME}")],
    to: TargetText = "latest",
    exclusive: Exclusive = False,
    timeline: TimelineId = None,
    attach: Annotated[
        bool, typer.Option("--attach", help="Go on archiving here, and shut the old writer out.")
    ] = False,
    lazy: Annotated[bool, typer.Option("--lazy", help="Open at once; files come when they are touched.")] = False,
    delta: Annotated[bool, typer.Option("--delta", help="Replace the database in PATH, keeping intact files.")] = False,
    cold: Annotated[str | None, typer.Option(help="Another cold store.  [default: as the source]")] = None,
    collections: Annotated[str | None, typer.Option(help="Only these, with commas between them.")] = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Make a database as it was at any commit or moment that the repository holds."""
    output = Output(json)
    where, chosen = chosen.of(path)
    with output.progress("restore", unit="bytes") as advance:
        done = chosen.repository.restore(
            where,
            target(to, exclusive, timeline),
            attach=attach,
            lazy=lazy,
            delta=delta,
            cold=None if cold is None else chosen.place(cold),
            collections=None if collections is None else [name.strip() for name in collections.split(",")],
            progress=advance,
            dry_run=dry_run,
        )
    output.document(done)
    if isinstance(done, tiervdb.PlannedRestore):
        output.say(f"would {done}")
        return
    output.say(f"restored commit {done.seq} of {readable.moment(done.time)} to {done.path}")
    fetched = f"{readable.size(done.fetched_bytes)} fetched"
    kept = f", {readable.size(done.kept_bytes)} kept" if done.kept_bytes else ""
    output.say(f"{fetched}{kept}, in {readable.milliseconds(done.seconds)}")
    if not attach:
        output.say(f"it is detached and archives nowhere; `tiervdb attach {done.path}` makes it the current one", "dim")


@on_repository_choice
def attach(
    chosen: RepositoryChoice,
    path: Annotated[str, typer.Argument(metavar="PATH", help=f"Directory of a restored or copied database, {_NAME}")],
    confirm: Annotated[bool, typer.Option("--confirm", help="Do it; without, only say what would be done.")] = False,
    json: Json = False,
) -> None:
    """Make a restored database the repository's current one: the old writer is shut out. Only with --confirm."""
    output = Output(json)
    where, chosen = chosen.of(path)
    source = chosen.repository
    if confirm:
        with output.working("attaching"):
            source.attach(where)
    output.document({"path": where, "repository": source.url, "attached": confirm})
    output.say(
        f"{where} archives to {source.url} from now on"
        if confirm
        else f"would make {where} the current database of {source.url}, which shuts its old writer out; say --confirm"
    )
