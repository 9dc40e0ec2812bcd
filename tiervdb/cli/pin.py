"""``tiervdb pin list | release``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any

import typer

from tiervdb.cli import readable
from tiervdb.cli.failure import Commands
from tiervdb.cli.opening import Opening, on_database
from tiervdb.cli.options import Json
from tiervdb.cli.output import Output

app = typer.Typer(cls=Commands, help="What keeps files and cold objects from being deleted.", no_args_is_help=True)

COLUMNS: dict[str, Callable[[Any], str]] = {
    "id": readable.text,
    "kind": readable.text,
    "state": readable.text,
    "seq": readable.text,
    "created": readable.text,
    "holder": readable.text,
    "path": readable.text,
    "host": readable.text,
}


@app.command("list")
@on_database
def list_(opening: Opening, json: Json = False) -> None:
    """List the pins of snapshots, readers and clones, those in a shared cold store too."""
    output = Output(json)
    with opening.writing_if_free() as db:
        found = db.pins()
    output.rows([asdict(pin) for pin in found], COLUMNS, empty="no pins")
    if found.away:
        output.say(found.away, "yellow")


@app.command("release")
@on_database
def release(
    opening: Opening,
    id: Annotated[str, typer.Argument(metavar="ID", help="Of the pin, as `tiervdb pin list` shows it.")],
    confirm: Annotated[bool, typer.Option("--confirm", help="Do it; without, only say what would be done.")] = False,
    json: Json = False,
) -> None:
    """Release the pin of a holder that is gone for good. Only says what depends on it unless --confirm is given."""
    output = Output(json)
    with opening.writing() as db:
        pin = db.release_pin(id, dry_run=not confirm)
    output.document({"pin": pin, "released": confirm})
    output.say(f"{pin.kind} pin {id}: {pin.depends}")
    output.say("released" if confirm else "would release it; say --confirm to do it")
