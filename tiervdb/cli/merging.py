"""``tiervdb merge-log``: many small parts of the archived log become few objects."""

from __future__ import annotations

from typing import Annotated

import typer

from tiervdb.backup.repository import Repository
from tiervdb.cli import readable
from tiervdb.cli.options import Json
from tiervdb.cli.output import Output
from tiervdb.cli.repository import on_repository


@on_repository
def merge_log(
    source: Repository,
    confirm: Annotated[bool, typer.Option("--confirm", help="Do it; without, only say what would be done.")] = False,
    json: Json = False,
) -> None:
    """Merge small parts of the archived log, so that restores and the catalog make fewer requests.

    What can be restored stays the same. `expire` and the agent do it, too. Parts of the last hour stay as they are.
    """
    output = Output(json)
    with output.working("merging" if confirm else "planning"):
        done = source.merge_log(dry_run=not confirm)
    output.document(done)
    what = f"{readable.plural(done.parts, 'part')} ({readable.size(done.bytes)})"
    into = readable.plural(done.objects, "object")
    if confirm:
        output.say(f"merged {what} into {into}; {readable.plural(done.deleted, 'part')} deleted")
    else:
        output.say(f"would merge {what} into {into}; say --confirm to do it")
