"""``tiervdb backup``, ``archive`` and ``backups list | show | expire``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any, Literal, cast

import typer

import tiervdb
from tiervdb.cli import readable
from tiervdb.cli.expiring import say
from tiervdb.cli.failure import Commands
from tiervdb.cli.options import DatabasePath, DryRun, Json
from tiervdb.cli.output import Output
from tiervdb.cli.repository import KeyCommand, KeyEnv, KeyFile, RepositoryUrl, key, reached, reached_if_named
from tiervdb.errors import DatabaseLockedError

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


def backup(
    path: DatabasePath,
    kind: Annotated[str, typer.Option(help="auto, full or incremental.")] = "auto",
    cold: Annotated[str, typer.Option(help="copy cold objects too, or leave them by reference.")] = "copy",
    label: Annotated[str | None, typer.Option(help="A name for it.")] = None,
    parallel: Annotated[int, typer.Option(help="Objects in flight.")] = 8,
    limit: Annotated[float | None, typer.Option("--limit-mb", help="MB a second at most.")] = None,
    dry_run: DryRun = False,
    repository: RepositoryUrl = None,
    key_file: KeyFile = None,
    key_env: KeyEnv = None,
    key_command: KeyCommand = None,
    json: Json = False,
) -> None:
    """Back the database up to its repository, also while another process writes to it."""
    output = Output(json)
    limits = tiervdb.Limits(parallel, None if limit is None else limit * 1e6)
    asked = cast(Literal["auto", "full", "incremental"], kind)
    mode = cast(Literal["copy", "reference"], cold)
    with (
        opened(path, reached_if_named(repository, key(key_file, key_env, key_command), path)) as db,
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


def archive(
    path: DatabasePath,
    repository: RepositoryUrl = None,
    key_file: KeyFile = None,
    key_env: KeyEnv = None,
    key_command: KeyCommand = None,
    json: Json = False,
) -> None:
    """Ship the log of a database that nobody has open to its repository now. A writer does so by itself."""
    output = Output(json)
    given = reached_if_named(repository, key(key_file, key_env, key_command), path)
    with output.working("archiving"), tiervdb.open(path, create=False, repository=given) as db:
        done = db.archive()
    output.document(done)
    output.say(f"archived up to commit {done.seq}, {readable.moment(done.time)}")


@app.command("list")
def list_(
    repository: RepositoryUrl = None,
    key_file: KeyFile = None,
    key_env: KeyEnv = None,
    key_command: KeyCommand = None,
    json: Json = False,
) -> None:
    """List the backups of a repository, oldest first."""
    found = reached(repository, key(key_file, key_env, key_command)).backups()
    Output(json).rows([asdict(backup) for backup in found], COLUMNS, empty="no backups")


@app.command("show")
def show(
    id: Annotated[str, typer.Argument(metavar="ID", help="The backup's id, its beginning, or its label.")],
    repository: RepositoryUrl = None,
    key_file: KeyFile = None,
    key_env: KeyEnv = None,
    key_command: KeyCommand = None,
    json: Json = False,
) -> None:
    """Say all about one backup."""
    output = Output(json)
    found = reached(repository, key(key_file, key_env, key_command)).backup(id)
    output.document(found)
    output.table(["", ""], [[name.replace("_", " "), readable.text(value)] for name, value in asdict(found).items()])


@app.command("expire")
def expire(
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Ids, their beginnings, or labels.")],
    reason: Annotated[str, typer.Option(help="Why; it is kept.")] = "asked for",
    confirm: Annotated[bool, typer.Option("--confirm", help="Do it; without, only say what would be done.")] = False,
    repository: RepositoryUrl = None,
    key_file: KeyFile = None,
    key_env: KeyEnv = None,
    key_command: KeyCommand = None,
    json: Json = False,
) -> None:
    """Unlist backups and delete what nobody needs any more. Only says what would go unless --confirm is given."""
    output = Output(json)
    source = reached(repository, key(key_file, key_env, key_command))
    done = source.expire(ids, reason=reason, dry_run=not confirm)
    output.document(done)
    say(output, done)


def _a(kind: str) -> str:
    return f"an {kind}" if kind == "incremental" else f"a {kind}"


def opened(path: Any, repository: tiervdb.Repository | None) -> tiervdb.Database:
    """For writing if nobody writes, else beside the writer."""
    try:
        return tiervdb.open(path, create=False, repository=repository)
    except DatabaseLockedError:
        return tiervdb.open(path, create=False, repository=repository, read_only=True)
