"""Commands that only look: ``tiervdb status``, ``log`` and ``check``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

import tiervdb
from tiervdb.cli import readable
from tiervdb.cli.agent import standings
from tiervdb.cli.opening import Opening, on_database, opening_of
from tiervdb.cli.options import Json, point_in_time
from tiervdb.cli.output import Output
from tiervdb.cli.repository import ConfigFile, KeyCommand, KeyEnv, KeyFile
from tiervdb.cli.taking import taking
from tiervdb.cli.wording import in_commands
from tiervdb.errors import CorruptionError, InvalidInputError

Time = Annotated[str | None, typer.Option(help="A time with its zone, or how long ago: 2h, 7d.")]

COLLECTION_COLUMNS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "name": ("name", readable.text),
    "dim": ("dim", readable.text),
    "rows": ("rows", readable.text),
    "memory": ("memory_rows", readable.text),
    "hot": ("hot_rows", readable.text),
    "cold": ("cold_rows", readable.text),
    "dead": ("dead_rows", readable.text),
    "disk": ("local_bytes", readable.size),
    "store": ("cold_bytes", readable.size),
}
LOG_COLUMNS = {
    "seq": readable.text,
    "time": readable.text,
    "collection": readable.text,
    "operation": readable.text,
    "upserted": readable.text,
    "deleted": readable.text,
    "note": readable.text,
}
STYLES = {"error": "bold red", "warning": "yellow", "info": "dim"}


def status_of(
    ctx: typer.Context,
    path: Annotated[
        str | None, typer.Argument(metavar="[PATH]", help="Directory of a database, or with --config its name.")
    ] = None,
    config: ConfigFile = None,
    key_file: KeyFile = None,
    key_env: KeyEnv = None,
    key_command: KeyCommand = None,
) -> Opening | Path:
    """One database, or the configuration whose databases are all meant."""
    if path is not None:
        return opening_of(ctx, path, config, key_file, key_env, key_command)
    if config is None:
        raise InvalidInputError("status: give the directory of a database, or --config FILE")
    return config


@taking(what=status_of)
def status(what: Opening | Path, json: Json = False) -> None:
    """Say how a database stands: its newest commit, tiers, snapshots, protection.

    With --config and no PATH: all databases of a file beside their objectives; exit code 4 if one is not well.
    """
    if isinstance(what, Path):
        standings(what, json)
        return
    output = Output(json)
    with what.reading() as db:
        state, stats = db.status(), db.stats()
    output.document({"status": state, "stats": stats})
    output.table(["", ""], [[name.replace("_", " "), readable.text(value)] for name, value in shown(state).items()])
    output.say()
    rows = [asdict(collection) for collection in stats.collections]
    cells = [[as_text(row[name]) for name, as_text in COLLECTION_COLUMNS.values()] for row in rows]
    output.table(list(COLLECTION_COLUMNS), cells)


def shown(state: tiervdb.Status) -> dict[str, Any]:
    """What a person wants to know first; nothing for what is not set."""
    return {
        name: value
        for name, value in asdict(state).items()
        if value is not None and name not in {"collections", "mode"} and (name != "single_writer" or value)
    }


@on_database
def log(
    opening: Opening,
    since: Time = None,
    until: Time = None,
    collection: Annotated[str | None, typer.Option(help="Only commits that touched it.")] = None,
    limit: Annotated[int | None, typer.Option("-n", help="Only the last ones.")] = None,
    json: Json = False,
) -> None:
    """List the commits, oldest first."""
    with opening.reading() as db:
        table = db.log(
            since=point_in_time("--since", since), until=point_in_time("--until", until), collection=collection
        )
    lines = table.to_pylist()
    Output(json).rows(lines[-limit:] if limit else lines, LOG_COLUMNS, empty="no commits")


@on_database
def check(opening: Opening, json: Json = False) -> None:
    """Verify every checksum and invariant; ends with exit code 7 if something is damaged."""
    output = Output(json)
    report = opening.check()
    output.document(report)
    for found in report.findings:
        line = f"{found.severity}: {found.file}: {found.problem}; {found.advice}"
        output.say(in_commands(line), STYLES[found.severity])
    errors = sum(found.severity == "error" for found in report.findings)
    looked_at = f"checked {readable.plural(report.files, 'file')}, {readable.size(report.bytes)}"
    output.say(f"{looked_at}: {readable.plural(errors, 'error') if errors else 'no damage'}")
    if errors:
        raise typer.Exit(CorruptionError.exit_code)
