"""``tiervdb catalog sql | tables | graph | export | publish``: the lineage of backups, as tables and as a picture."""

from __future__ import annotations

import csv
import sys
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pyarrow as pa
import typer

from tiervdb.backup.catalog.schema import TABLES
from tiervdb.backup.repository import Repository
from tiervdb.cli import graph as pictures
from tiervdb.cli import readable
from tiervdb.cli.failure import Commands
from tiervdb.cli.options import Json, Params, parameters
from tiervdb.cli.output import Output, plain
from tiervdb.cli.repository import on_repository
from tiervdb.clock import SystemClock
from tiervdb.errors import AlreadyExistsError
from tiervdb.storage.os_errors import os_errors
from tiervdb.types import to_datetime

app = typer.Typer(cls=Commands, help="The lineage of backups: SQL, a picture, files.", no_args_is_help=True)


@app.command("sql")
@on_repository
def sql(
    source: Repository,
    query: Annotated[str, typer.Argument(metavar="QUERY", help="A select over the catalog's tables.")],
    params: Params = None,
    format: Annotated[Literal["table", "csv"], typer.Option("--format", help="How to print it.")] = "table",
    json: Json = False,
) -> None:
    """Ask the catalog: what can be restored, from which objects, when was that proven, what was deleted and why."""
    output = Output(json)
    with output.working("reading the catalog"):
        found = source.catalog.table(query, parameters(params))
    columns = [[_value(cell) for cell in column.to_pylist()] for column in found.columns]
    names, rows = _distinct(found.column_names), [list(row) for row in zip(*columns, strict=True)]
    output.document([dict(zip(names, row, strict=True)) for row in rows])
    if json:
        return
    if format == "csv":
        _write_csv(names, rows)
    elif rows:
        output.table(names, [[readable.text(cell) for cell in row] for row in rows])
    else:
        output.say("no rows")


@app.command("tables")
def tables(json: Json = False) -> None:
    """List the tables and their columns, with types and meanings."""
    output = Output(json)
    rows = [
        {"table": name, "column": column, "type": _sql_type(kind), "meaning": meaning}
        for name, table in TABLES.items()
        for column, kind, meaning in table.columns
    ]
    output.document(rows)
    for name, table in TABLES.items():
        output.say(f"{name}: {table.meaning}", "bold")
        output.table(["", "", ""], [[f"  {c}", _sql_type(kind), meaning] for c, kind, meaning in table.columns])


@app.command("graph")
@on_repository
def graph(
    source: Repository,
    file: Annotated[Path | None, typer.Option("--output", "-o", help="HTML file; without, text is printed.")] = None,
    json: Json = False,
) -> None:
    """Draw windows, backups, forks, restores and drills: one HTML page that needs no network, or text."""
    output = Output(json)
    with output.working("reading the catalog"):
        found = pictures.read(source.catalog.tables(), source.url, to_datetime(SystemClock().now_us()))
    if file is None:
        output.document(found)
        for line in pictures.text(found, output.console.width):
            output.say(line)
        return
    with os_errors("writing", file):
        file.write_text(pictures.page(found), encoding="utf-8")
    output.document({"file": file, "backups": len(found.backups)})
    output.say(f"drew {readable.plural(len(found.backups), 'backup')} in {file}")


@app.command("export")
@on_repository
def export(
    source: Repository,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A new DuckDB file.")],
    json: Json = False,
) -> None:
    """Write all tables into a new DuckDB file."""
    output = Output(json)
    if file.exists():
        raise AlreadyExistsError(f"{file} exists already; give another file, or move it away")
    with output.working("reading the catalog"):
        source.catalog.export(file)
    output.document({"file": file, "tables": len(TABLES)})
    output.say(f"wrote {readable.plural(len(TABLES), 'table')} to {file}")


@app.command("publish")
@on_repository
def publish(
    source: Repository,
    json: Json = False,
) -> None:
    """Write the tables into the repository as Parquet, with commits and snapshots. Operations do so by themselves."""
    output = Output(json)
    with output.working("publishing the catalog"):
        source.catalog.publish()
    output.document({"repository": source.url})
    output.say(f"published the catalog in {source.url}")


def _sql_type(kind: pa.DataType) -> str:
    if pa.types.is_list(kind):
        return f"{_sql_type(kind.value_type)}[]"
    if pa.types.is_timestamp(kind):
        return "timestamptz"
    names = {pa.string(): "varchar", pa.int64(): "bigint", pa.bool_(): "boolean", pa.float64(): "double"}
    return names[kind]


def _distinct(names: list[str]) -> list[str]:
    """A name that a query gives twice gets a number the second time."""
    seen: dict[str, int] = {}
    found = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        found.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return found


def _value(given: Any) -> Any:
    """As numbers, texts and times: a sum is a whole number, a span of time its seconds."""
    if isinstance(given, Decimal):
        return int(given) if given == given.to_integral_value() else float(given)
    if isinstance(given, pa.MonthDayNano):
        return (given.months * 30 + given.days) * 86_400 + given.nanoseconds / 1e9
    return [_value(one) for one in given] if isinstance(given, list) else given


def _write_csv(names: list[str], rows: list[list[Any]]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow([_cell(value) for value in row])


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, list | dict):
        return msgspec.json.encode(value, enc_hook=plain).decode()
    return value.isoformat() if hasattr(value, "isoformat") else value
