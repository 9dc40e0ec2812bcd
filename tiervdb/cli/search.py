"""``tiervdb search``."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import typer

import tiervdb
from tiervdb.cli import readable
from tiervdb.cli.opening import Opening, on_database
from tiervdb.cli.options import (
    At,
    CollectionName,
    Columns,
    Json,
    Params,
    Where,
    column_names,
    parameters,
)
from tiervdb.cli.output import Output
from tiervdb.errors import InvalidInputError

VECTOR_HELP = "The query: numbers with commas between them, or a .npy file of one vector."


@on_database
def search(
    opening: Opening,
    collection: CollectionName,
    like: Annotated[str | None, typer.Option("--like", help="Search near the row of this id, itself left out.")] = None,
    vector: Annotated[str | None, typer.Option("--vector", help=VECTOR_HELP)] = None,
    k: Annotated[int, typer.Option("-k", help="How many rows.")] = 10,
    where: Where = None,
    param: Params = None,
    columns: Columns = None,
    at: At = None,
    exact: Annotated[bool, typer.Option("--exact", help="Compare every row.")] = False,
    ef: Annotated[int | None, typer.Option(help="Use the graph, this many candidates wide.")] = None,
    nprobe: Annotated[int | None, typer.Option(help="Use the sketch, this many lists.")] = None,
    rerank: Annotated[int | None, typer.Option(help="Use the sketch, this many candidates compared exactly.")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Say what each segment did.")] = False,
    skip_unavailable: Annotated[
        bool, typer.Option("--skip-unavailable", help="Answer without what cannot be reached, and say what that was.")
    ] = False,
    json: Json = False,
) -> None:
    """Find the nearest rows of a vector, or of a row that is there."""
    if (like is None) == (vector is None):
        raise InvalidInputError("search: give either --like ID or --vector, not both and not none")
    asked: dict[str, Any] = {
        "where": where,
        "params": parameters(param),
        "columns": column_names(columns),
        "exact": exact,
        "ef": ef,
        "nprobe": nprobe,
        "rerank": rerank,
        "explain": explain,
        "on_unavailable": "skip" if skip_unavailable else "raise",
    }
    with opening.reading(at) as db:
        rows = db[collection]
        hits = near_row(rows, like, k, asked) if like is not None else rows.search(query(str(vector)), k, **asked)
        show(Output(json), hits, left_out=like, k=k)


def near_row(rows: tiervdb.Collection, like: str, k: int, asked: dict[str, Any]) -> tiervdb.Hits:
    """One more than asked for, as the row itself is the nearest of all."""
    table = rows.get([row_id(rows, like)], columns=[], vectors=True)
    if len(table) == 0:
        raise InvalidInputError(f"search: no row of {rows.name!r} has the id {like!r}; give the query with --vector")
    x = np.asarray(table["vector"][0].as_py(), dtype=np.float32)
    return rows.search(x, k + 1 if k > 0 else k, **asked)


def row_id(rows: tiervdb.Collection, given: str) -> int | str:
    """The id as the collection types it."""
    if rows.schema.id_type == "string":
        return given
    try:
        return int(given)
    except ValueError:
        raise InvalidInputError(f"search: ids of {rows.name!r} are whole numbers, {given!r} is none") from None


def query(given: str) -> Any:
    """``--vector``: numbers, or a file of them."""
    if given.endswith(".npy"):
        try:
            return np.load(given, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise InvalidInputError(f"search: --vector {given}: not a readable .npy file ({error})") from None
    try:
        return np.array([float(number) for number in given.strip("[] ").split(",")], dtype=np.float32)
    except ValueError:
        raise InvalidInputError(
            f"search: --vector {given[:40]!r} is not a list of numbers; write 0.1,0.2,0.3 or name a .npy file"
        ) from None


def show(output: Output, hits: tiervdb.Hits, left_out: str | None, k: int) -> None:
    """The rows, and what the search did."""
    found = [row for row in hits.to_pylist() if str(row["id"]) != left_out][:k]
    for row in found:
        del row["query"]
    output.document({"hits": found, "stats": hits.stats, "explanation": hits.explanation or None})
    names = list(found[0]) if found else []
    output.table(names, [[readable.text(row[name]) for name in names] for row in found])
    if not found:
        output.say("no rows match")
    output.say(did(hits.stats), style="dim")
    if hits.explanation:
        output.say(hits.explanation, style="dim")


def did(stats: tiervdb.SearchStats) -> str:
    """One line about what a search did."""
    where = " and ".join(stats.tiers) or "nowhere"
    text = f"{readable.milliseconds(stats.seconds)}, {readable.plural(stats.rows_scanned, 'row')} scanned, {where}"
    if "cold" in stats.tiers:
        text += f", {readable.plural(stats.gets, 'GET')} of {readable.size(stats.bytes)}"
        text += f" in {readable.plural(stats.waves, 'wave')}, {readable.plural(stats.cache_hits, 'cache hit')}"
    return text + "".join(f"\nskipped: {what}" for what in stats.skipped)
