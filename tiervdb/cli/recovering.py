"""``tiervdb diff`` and ``recover``: what changed since an earlier state, and bringing rows of it back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, cast

import typer

from tiervdb.cli import readable
from tiervdb.cli.opening import Opening, on_database
from tiervdb.cli.options import CollectionName, Json, Params, Where, parameters
from tiervdb.cli.output import Output
from tiervdb.cli.points import Point, point

SHOWN = 20  # rows; --json has all
COLUMNS: dict[str, Callable[[Any], str]] = {
    "id": readable.text,
    "change": readable.text,
    "vector_changed": readable.text,
    "columns": lambda names: ", ".join(names or ()),
}


@on_database
def diff(opening: Opening, collection: CollectionName, at: Point, json: Json = False) -> None:
    """Say which rows of a collection were added, removed or changed since an earlier state."""
    output = Output(json)
    with output.working("comparing"), opening.reading() as db:
        table = db.diff(collection, point(at))
    output.document(table)
    rows = table.slice(0, SHOWN).to_pylist()
    output.table(list(COLUMNS), [[text(row[name]) for name, text in COLUMNS.items()] for row in rows])
    changes = table["change"].to_pylist()
    counts = {kind: changes.count(kind) for kind in ("added", "removed", "changed")}
    output.say(f"since {at}: " + ", ".join(f"{count:,} {kind}" for kind, count in counts.items()))


@on_database
def recover(
    opening: Opening,
    collection: CollectionName,
    at: Point,
    where: Where = None,
    param: Params = None,
    mode: Annotated[str, typer.Option(help="Rows that are missing, changed, or all of them.")] = "missing",
    confirm: Annotated[bool, typer.Option("--confirm", help="Do it; without, only say what would be done.")] = False,
    json: Json = False,
) -> None:
    """Bring rows of an earlier state, or a dropped collection, back as one commit. Only with --confirm."""
    output = Output(json)
    chosen = cast(Literal["missing", "changed", "all"], mode)
    with output.working("comparing"), opening.open(create=False, read_only=not confirm) as db:
        done = db.recover(
            collection, point(at), where=where, params=parameters(param), mode=chosen, dry_run=not confirm
        )
    output.document(done)
    what = f"{readable.plural(done.missing, 'missing row')} and {readable.plural(done.changed, 'changed row')}"
    made = ", and make the collection again" if done.creates else ""
    if confirm:
        output.say(f"brought back {what} of {collection!r} from commit {done.from_seq}")
    else:
        output.say(
            f"would bring back {what} of {collection!r} from commit {done.from_seq}{made}; say --confirm to do it"
        )
