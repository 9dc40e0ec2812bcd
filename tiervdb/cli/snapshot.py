"""``tiervdb snapshot create | list | drop`` and ``tiervdb clone``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from tiervdb.cli import readable
from tiervdb.cli.failure import Commands
from tiervdb.cli.opening import Opening, on_database
from tiervdb.cli.options import At, Json, duration
from tiervdb.cli.output import Output
from tiervdb.errors import SnapshotNotFoundError

app = typer.Typer(
    cls=Commands, help="Named states that are kept: taken at once, copying nothing.", no_args_is_help=True
)

SnapshotName = Annotated[str, typer.Argument(metavar="NAME", help="Name of the snapshot.")]
COLUMNS: dict[str, Callable[[Any], str]] = {
    "name": readable.text,
    "seq": readable.text,
    "time": readable.text,
    "expires": lambda time: readable.moment(time) or "never",
    "consistency": readable.text,
    "only_bytes": readable.size,
}


@app.command("create")
@on_database
def create(
    opening: Opening,
    name: SnapshotName,
    expires: Annotated[str | None, typer.Option(help="How long it is kept: 12h, 7d.  [default: until dropped]")] = None,
    json: Json = False,
) -> None:
    """Keep the database as it is now under a name."""
    output = Output(json)
    with opening.writing() as db:
        snapshot = db.snapshot(name, expires=duration("--expires", expires))
    output.document(snapshot)
    output.say(
        f"snapshot {snapshot.name!r} keeps everything up to commit {snapshot.seq}, {readable.moment(snapshot.time)}"
    )


@app.command("list")
@on_database
def list_(opening: Opening, json: Json = False) -> None:
    """List the snapshots, and the bytes that only each of them keeps."""
    with opening.writing_if_free() as db:
        Output(json).rows([asdict(snapshot) for snapshot in db.snapshots()], COLUMNS, empty="no snapshots")


@app.command("drop")
@on_database
def drop(
    opening: Opening,
    name: SnapshotName,
    confirm: Annotated[bool, typer.Option("--confirm", help="Do it; without, only say what would be done.")] = False,
    json: Json = False,
) -> None:
    """Give a snapshot up. Only says what would go unless --confirm is given."""
    output = Output(json)
    with opening.writing() if confirm else opening.writing_if_free() as db:
        found = {snapshot.name: snapshot for snapshot in db.snapshots()}
        if name not in found:
            known = ", ".join(found) or "none"
            raise SnapshotNotFoundError(
                f"snapshot drop: there is no snapshot {name!r} in {opening.path}; there are: {known}"
            )
        if confirm:
            db.drop_snapshot(name)
    output.document({"snapshot": found[name], "dropped": confirm})
    kept = f"{name!r} of commit {found[name].seq}"
    if found[name].only_bytes is not None:
        kept += f", which alone keeps {readable.size(found[name].only_bytes)}"
    output.say(f"dropped snapshot {kept}" if confirm else f"would drop snapshot {kept}; say --confirm to do it")


@on_database
def clone(
    opening: Opening,
    target: Annotated[Path, typer.Argument(metavar="TARGET", help="Directory of the new database; must not exist.")],
    at: At = None,
    json: Json = False,
) -> None:
    """Make a new database that starts from this one, or from a snapshot of it, sharing its files."""
    output = Output(json)
    with opening.reading() as db:
        made = db.clone(target, at=at)
    with opening.copy_at(made).reading() as copy:
        status = copy.status()
    output.document(status)
    output.say(f"cloned {opening.path} to {made} as database {status.database_id}, at commit {status.seq}")
