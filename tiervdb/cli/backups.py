"""``tiervdb backup``, ``archive`` and ``backups list | show | expire``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any, Literal, cast

import typer

import tiervdb
from tiervdb.backup.repository import Repository
from tiervdb.cli import readable
from tiervdb.cli.expiring import say
from tiervdb.cli.failure import Commands
from tiervdb.cli.opening import Opening, on_database_and_repository
from tiervdb.cli.options import DryRun, Json
from tiervdb.cli.output import Output
from tiervdb.cli.repository import on_repository

app = typer.Typer(cls=Commands, help="What backups a repository lists.", no_args_is_help=True)

COLUMNS: dict[str, Callable[[Any], str]] = {
    "id": lambda id: str(id)[:12],
    "kind": readable.text,
    "label": readable.text,
    "seq": readable.text,
    "time": readable.text,
    "bytes": readable.size,
    "sent_bytes": readable.size,
    "cold": readable.text,
    "snapshots": readable.text,
}


@on_database_and_repository
def backup(
    opening: Opening,
    kind: Annotated[str, typer.Option(help="auto, full or incremental.")] = "auto",
    cold: Annotated[str, typer.Option(help="copy cold objects too, or leave them by reference.")] = "copy",
    label: Annotated[str | None, typer.Option(help="A name for it.")] = None,
    parallel: Annotated[int, typer.Option(help="Objects in flight.")] = 8,
    limit: Annotated[float | None, typer.Option("--limit-mb", help="MB a second at most.")] = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Back the database up to its repository, also while another process writes to it."""
    output = Output(json)
    limits = tiervdb.Limits(parallel, None if limit is None else limit * 1e6)
    asked = cast(Literal["auto", "full", "incremental"], kind)
    mode = cast(Literal["copy", "reference"], cold)
    with (
        opening.writing_if_free() as db,
        output.progress("back up", unit="bytes") as advance,
    ):
        done = db.backup(asked, cold=mode, label=label, limits=limits, progress=advance, dry_run=dry_run)
    output.document(done)
    if isinstance(done, tiervdb.Backup):
        sent = f"{readable.size(done.sent_bytes)} of {readable.size(done.bytes)} sent"
        output.say(f"{done.kind} backup {done.id} holds everything up to commit {done.seq}; {sent}")
    else:
        output.say(
            f"would make {_a(done.kind)} backup: send {readable.plural(len(done.send), 'file')}, "
            f"{readable.size(done.send_bytes)}, and reuse {readable.plural(done.reused_files, 'file')} that are there"
        )


@on_database_and_repository
def archive(
    opening: Opening,
    json: Json = False,
) -> None:
    """Ship the log of a database that nobody has open to its repository now. A writer does so by itself."""
    output = Output(json)
    with output.working("archiving"), opening.writing() as db:
        done = db.archive()
    output.document(done)
    output.say(f"archived up to commit {done.seq}, {readable.moment(done.time)}")


@app.command("list")
@on_repository
def list_(
    source: Repository,
    json: Json = False,
) -> None:
    """List the backups of a repository, oldest first."""
    found = source.backups()
    Output(json).rows([asdict(backup) for backup in found], COLUMNS, empty="no backups")


@app.command("show")
@on_repository
def show(
    source: Repository,
    id: Annotated[str, typer.Argument(metavar="ID", help="The backup's id, its beginning, or its label.")],
    json: Json = False,
) -> None:
    """Say all about one backup."""
    output = Output(json)
    found = source.backup(id)
    output.document(found)
    output.table(["", ""], [[name.replace("_", " "), readable.text(value)] for name, value in asdict(found).items()])


@app.command("expire")
@on_repository
def expire(
    source: Repository,
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Ids, their beginnings, or labels.")],
    reason: Annotated[str, typer.Option(help="Why; it is kept.")] = "asked for",
    confirm: Annotated[bool, typer.Option("--confirm", help="Do it; without, only say what would be done.")] = False,
    json: Json = False,
) -> None:
    """Unlist backups and delete what nobody needs any more. Only says what would go unless --confirm is given."""
    output = Output(json)
    done = source.expire(ids, reason=reason, dry_run=not confirm)
    output.document(done)
    say(output, done)


def _a(kind: str) -> str:
    return f"an {kind}" if kind == "incremental" else f"a {kind}"
