"""``tiervdb adopt``: what a copied directory is to be."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from tiervdb.cli.opening import Opening, on_database
from tiervdb.cli.options import Json
from tiervdb.cli.output import Output

What = Annotated[
    Literal["take-over", "clone"],
    typer.Argument(
        metavar="WHAT",
        help="take-over: the original is gone, and this one goes on in its place. clone: a database of its own.",
    ),
]


@on_database
def adopt(opening: Opening, what: What, json: Json = False) -> None:
    """Say what a copied or moved directory of a database is to be; nothing opens it before."""
    output = Output(json)
    with opening.open(create=False, copied=what.replace("-", "_")) as db:
        status = db.status()
    output.document(status)
    done = "goes on in place of the original" if what == "take-over" else "is a database of its own"
    output.say(f"{opening.path} {done}, as database {status.database_id}, at commit {status.seq}")
