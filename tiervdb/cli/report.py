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
from tiervdb.cli.opening import reading
from tiervdb.cli.options import DatabasePath, Json, point_in_time
from tiervdb.cli.output import Output
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


def status(
    path: Annotated[Path | None, typer.Argument(metavar="[PATH]", help="Directory of the database.")] = None,
    config: Annotated[Path | None, typer.Option("--config", help="All databases of a configuration file.")] = None,
    json: Json = False,
) -> None:
    """Say how a database stands: its newest commit, tiers, snapshots, protection.

    With --config: all databases of a file beside their objectives; exit code 4 if one is not well.
    """
    if config is not None and path is None:
        standings(config, json)
        return
    if path is None or config is not None:
        raise InvalidInputError("status: give the directory of a database, or --config FILE")
    output = Output(json)
    with reading(path) as db:
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


def log(
    path: DatabasePath,
    since: Time = None,
    until: Time = None,
    collection: Annotated[str | None, typer.Option(help="Only commits that touched it.")] = None,
    limit: Annotated[int | None, typer.Option("-n", help="Only the last ones.")] = None,
    json: Json = False,
) -> None:
    """List the commits, oldest first."""
    with reading(path) as db:
        table = db.log(
            since=point_in_time("--since", since), until=point_in_time("--until", until), collection=collection
        )
    lines = table.to_pylist()
    Output(json).rows(lines[-limit:] if limit else lines, LOG_COLUMNS, empty="no commits")


def check(path: DatabasePath, json: Json = False) -> None:
    """Verify every checksum and invariant; ends with exit code 7 if something is damaged."""
    output = Output(json)
    report = tiervdb.check(path)
    output.document(report)
    for found in report.findings:
        output.say(f"{found.severity}: {found.file}: {found.problem}; {found.advice}", STYLES[found.severity])
    errors = sum(found.severity == "error" for found in report.findings)
    looked_at = f"checked {readable.plural(report.files, 'file')}, {readable.size(report.bytes)}"
    output.say(f"{looked_at}: {readable.plural(errors, 'error') if errors else 'no damage'}")
    if errors:
        raise typer.Exit(CorruptionError.exit_code)
