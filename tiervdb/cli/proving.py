"""``tiervdb verify`` and ``copy``: is all of it there, and the same somewhere else."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from tiervdb.backup.repository import Repository
from tiervdb.cli import readable
from tiervdb.cli.options import Json
from tiervdb.cli.output import Output
from tiervdb.cli.points import target
from tiervdb.cli.repository import RepositoryChoice, key, on_repository, on_repository_choice
from tiervdb.cli.wording import in_commands
from tiervdb.errors import CorruptionError, InvalidInputError


@on_repository
def verify(
    source: Repository,
    deep: Annotated[bool, typer.Option("--deep", help="Read everything and compare checksums.")] = False,
    sample: Annotated[str | None, typer.Option(help="Read a random share only: 5%.")] = None,
    resume: Annotated[Path | None, typer.Option(help="File that remembers what was read, to go on later.")] = None,
    json: Json = False,
) -> None:
    """Look whether all that a repository lists is there and whole. Exit code 7 if something is wrong."""
    output = Output(json)
    with output.progress("verify", unit="bytes") as advance:
        report = source.verify(deep=deep, sample=share(sample), resume=resume, progress=advance)
    output.document({**asdict(report), "ok": report.ok})
    for finding in report.findings:
        output.say(in_commands(str(finding)), "bold red")
    looked = f"{readable.plural(report.backups, 'backup')}, {readable.plural(report.objects, 'object')}"
    read = f"{readable.plural(report.read_objects, 'object')} read ({readable.size(report.read_bytes)})"
    output.say(f"{looked} and {readable.plural(report.parts, 'part')} of the log looked at; {read}")
    if not report.ok:
        raise CorruptionError(f"{readable.plural(len(report.findings), 'finding')} in {source.url}; see above")


@on_repository
def drill(
    source: Repository,
    to: Annotated[str | None, typer.Option("--target", help="As for restore.  [default: a random point]")] = None,
    lazy: Annotated[bool, typer.Option("--lazy", help="Open before all is there.")] = False,
    scratch: Annotated[Path | None, typer.Option(help="Directory with room for the database.")] = None,
    json: Json = False,
) -> None:
    """Try a restore to a random point: check all of it, measure RTO and RPO, remove it. Exit code 7 if it failed."""
    output = Output(json)
    wanted = None if to is None else target(to, exclusive=False, timeline=None)
    with output.progress("drill", unit="bytes") as advance:
        done = source.drill(wanted, lazy=lazy, scratch=scratch, progress=advance)
    output.document({**asdict(done), "ok": done.ok})
    for line in str(done).splitlines():
        output.say(line, "" if done.ok else "bold red")
    if not done.ok:
        raise CorruptionError(f"the drill failed in {source.url}; see above, and run `tiervdb verify --deep`")


@on_repository_choice
def copy(
    chosen: RepositoryChoice,
    url: Annotated[
        str | None,
        typer.Argument(metavar="[URL]", help="The other repository; made if there is none.  [default: as in --config]"),
    ] = None,
    to_key_file: Annotated[Path | None, typer.Option(help="File with the key of the other repository.")] = None,
    to_key_env: Annotated[str | None, typer.Option(help="Environment variable with its key.")] = None,
    to_key_command: Annotated[str | None, typer.Option(help="Command that prints its key.")] = None,
    json: Json = False,
) -> None:
    """Copy what is listed to another repository, read it back there, and leave what is there already."""
    output = Output(json)
    other = chosen.other(url, key(to_key_file, to_key_env, to_key_command))
    with output.progress("copy", unit="bytes") as advance:
        done = chosen.repository.copy_to(other, progress=advance)
    output.document(done)
    output.say(
        f"copied {readable.plural(done.backups, 'backup')} ({readable.plural(done.objects, 'object')}, "
        f"{readable.size(done.bytes)}) and {readable.plural(done.parts, 'part')} of the log to {other.url}; "
        f"{readable.plural(done.skipped_backups, 'backup')} had been there"
    )


def share(text: str | None) -> float | None:
    """``5%`` or ``0.05``."""
    if text is None:
        return None
    try:
        return float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError as error:
        raise InvalidInputError(f"--sample {text!r} is not a share; write 5%") from error
