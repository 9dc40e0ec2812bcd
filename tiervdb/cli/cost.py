"""``tiervdb plan-cost``: bytes, requests and dollars, before there is a database."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from tiervdb.agent import cost
from tiervdb.agent.cost import Load, Prices
from tiervdb.cli import readable
from tiervdb.cli.options import Json
from tiervdb.cli.output import Output
from tiervdb.errors import InvalidInputError

_COUNT = re.compile(r"(\d+(?:\.\d+)?)\s*([kMG]?)")
_TIMES = {"": 1, "k": 1_000, "M": 1_000_000, "G": 1_000_000_000}


def plan_cost(
    vectors: Annotated[str, typer.Option(help="How many: 250k, 10M.")],
    dim: Annotated[int, typer.Option(help="Their dimensions.")],
    cold: Annotated[float, typer.Option(help="The share in the cold tier, of 1.")] = 0.8,
    rate: Annotated[float, typer.Option(help="Rows written a second while it writes.")] = 10.0,
    active: Annotated[float, typer.Option(help="The share of the day in which it does.")] = 1.0,
    column_bytes: Annotated[int, typer.Option(help="Of filter columns a row.")] = 8,
    searches: Annotated[float, typer.Option(help="A second, that the cache does not answer.")] = 0.0,
    backups_a_day: Annotated[float, typer.Option(help="How many.")] = 1.0,
    pitr_days: Annotated[float, typer.Option(help="Of point-in-time recovery.")] = 14.0,
    kept_backups: Annotated[int, typer.Option(help="By daily, weekly and monthly.")] = 66,
    offsite: Annotated[bool, typer.Option("--offsite", help="With a copy elsewhere.")] = False,
    storage_price: Annotated[float, typer.Option(help="US dollars a GiB and month.")] = Prices.storage,
    put_price: Annotated[float, typer.Option(help="US dollars a thousand PUTs.")] = Prices.puts,
    get_price: Annotated[float, typer.Option(help="US dollars a thousand GETs.")] = Prices.gets,
    json: Json = False,
) -> None:
    """Estimate disk, buckets, requests and dollars. States what it assumes."""
    output = Output(json)
    load = Load(
        vectors=_count(vectors),
        dim=dim,
        cold=cold,
        rate=rate,
        active=active,
        column_bytes=column_bytes,
        searches=searches,
        backups_a_day=backups_a_day,
        pitr_days=pitr_days,
        kept_backups=kept_backups,
        offsite=offsite,
    )
    if load.vectors < 1 or dim < 1 or not 0 <= cold <= 1 or not 0 <= active <= 1 or min(rate, searches) < 0:
        raise InvalidInputError("plan-cost: vectors and dim are at least 1, cold and active between 0 and 1")
    found = cost.plan(load, Prices(storage_price, put_price, get_price))
    output.document(found)
    output.table(
        ["", ""],
        [
            ["local disk", readable.size(found.local_bytes)],
            ["cold store", readable.size(found.cold_bytes)],
            ["a full backup", readable.size(found.full_backup_bytes)],
            ["an incremental one", readable.size(found.incremental_bytes)],
            ["archived log a day", readable.size(found.log_bytes_a_day)],
            ["repository", readable.size(found.repository_bytes)],
            ["off-site copy", readable.size(found.offsite_bytes)],
            ["PUTs a day", readable.text(found.puts_a_day)],
            ["GETs a day", readable.text(found.gets_a_day)],
            ["US dollars a month", f"{found.dollars_a_month:,.2f}"],
        ],
    )
    for assumption in found.assumptions:
        output.say(f"assumed: {assumption}", "dim")


def _count(given: str) -> int:
    match = _COUNT.fullmatch(given.strip())
    if match is None:
        raise InvalidInputError(f"--vectors {given!r} is no number; write 250000, 250k or 10M")
    return round(float(match[1]) * _TIMES[match[2]])
