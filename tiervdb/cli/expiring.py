"""``tiervdb expire``, ``hold``, ``holds`` and ``release``: what is kept, for how long, and why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Annotated, Any

import typer

import tiervdb
from tiervdb.backup.repository import Repository
from tiervdb.cli import readable
from tiervdb.cli.options import Json
from tiervdb.cli.output import Output
from tiervdb.cli.repository import on_repository
from tiervdb.cli.wording import in_commands
from tiervdb.errors import InvalidInputError, StateError

_DEFAULT = tiervdb.Policy()
_NOTHING = {"", "0", "none"}
Reason = Annotated[str, typer.Option("--reason", help="Why; it is kept.")]

DECISION_COLUMNS: dict[str, Callable[[Any], str]] = {
    "backup": lambda id: str(id)[:12],
    "label": readable.text,
    "kind": readable.text,
    "time": readable.moment,
    "keep": lambda keep: "keep" if keep else "EXPIRE",
    "reasons": "; ".join,
}
HOLD_COLUMNS: dict[str, Callable[[Any], str]] = {
    "id": lambda id: str(id)[:12],
    "backup": lambda id: "" if id is None else str(id)[:12],
    "label": readable.text,
    "reason": readable.text,
    "created": readable.moment,
    "user": readable.text,
    "host": readable.text,
}


@on_repository
def expire(
    source: Repository,
    pitr: Annotated[str, typer.Option(help="Every commit of so long stays restorable.")] = str(_DEFAULT.pitr),
    hourly: Annotated[int, typer.Option(help="Newest backup of each of the last so many hours.")] = _DEFAULT.hourly,
    daily: Annotated[int, typer.Option(help="... days.")] = _DEFAULT.daily,
    weekly: Annotated[int, typer.Option(help="... weeks.")] = _DEFAULT.weekly,
    monthly: Annotated[int, typer.Option(help="... months.")] = _DEFAULT.monthly,
    yearly: Annotated[int, typer.Option(help="... years.")] = _DEFAULT.yearly,
    min_backups: Annotated[int, typer.Option(help="So many of the newest stay anyway.")] = _DEFAULT.min_backups,
    require_restorable: Annotated[
        str, typer.Option(help="What can be restored of so long must stay so, else nothing is done.")
    ] = str(_DEFAULT.require_restorable),
    lock: Annotated[
        str, typer.Option(help="What is kept cannot be deleted for so long, where the store has Object Lock.")
    ] = str(_DEFAULT.lock),
    confirm: Annotated[bool, typer.Option("--confirm", help="Do it; without, only say what would be done.")] = False,
    json: Json = False,
) -> None:
    """Expire backups and log by a policy; each decision is said with its reason. Only plans unless --confirm is given.

    Durations are 12h, 14d, 2w, or none.
    """
    output = Output(json)
    policy = tiervdb.Policy(
        pitr=_duration(pitr),
        hourly=hourly,
        daily=daily,
        weekly=weekly,
        monthly=monthly,
        yearly=yearly,
        min_backups=min_backups,
        require_restorable=_duration(require_restorable),
        lock=_duration(lock),
    )
    try:
        with output.working("expiring" if confirm else "planning"):
            done = source.expire(policy, dry_run=not confirm)
    except StateError as error:
        _say_refused(output, source, policy, error)
        raise
    output.document(done)
    say(output, done)


def _say_refused(output: Output, source: Repository, policy: tiervdb.Policy, error: StateError) -> None:
    """The decisions that led there, if it is the policy that asks too much."""
    try:
        planned = source.expire(replace(policy, require_restorable=None), dry_run=True)
    except StateError:
        return
    output.document({**asdict(planned), "refused": in_commands(str(error))})
    say(output, planned, refused=True)


def say(output: Output, done: tiervdb.ExpiryResult, *, refused: bool = False) -> None:
    """What an expiry decided, and what it did or would do."""
    if output.json:
        return
    if done.decisions:
        rows = [asdict(decision) for decision in done.decisions]
        output.table(
            list(DECISION_COLUMNS), [[show(row[name]) for name, show in DECISION_COLUMNS.items()] for row in rows]
        )
    verb = "could no longer be restored" if done.dry_run else "can no longer be restored"
    for window in done.vanishing:
        span = f"{readable.moment(window.first_time)} to {readable.moment(window.last_time)}"
        output.say(f"commits {window.first_seq} to {window.last_seq} ({span}) {verb}", "yellow")
    what = (
        f"{readable.plural(len(done.backups), 'backup')}, {readable.plural(done.objects, 'object')} "
        f"({readable.size(done.bytes)}) and {readable.plural(done.parts, 'part')} of the log"
    )
    if refused:
        output.say(f"refused to expire {what}", "yellow")
        return
    if done.locked_objects:
        output.say(f"{readable.plural(done.locked_objects, 'object')} cannot be deleted by anybody for a while")
    if done.merged_parts:
        verb = "would merge" if done.dry_run else "merged"
        output.say(f"{verb} {readable.plural(done.merged_parts, 'small part')} of the log into larger objects")
    output.say(f"would expire {what}; say --confirm to do it" if done.dry_run else f"expired {what}")


@on_repository
def hold(
    source: Repository,
    backup: Annotated[
        str | None, typer.Argument(metavar="[BACKUP]", help="Its id, the beginning of it, or label.")
    ] = None,
    label: Annotated[str | None, typer.Option(help="All backups of this label, also later ones.")] = None,
    reason: Reason = "",
    json: Json = False,
) -> None:
    """Keep a backup, or all of a label, from expiring until it is released."""
    output = Output(json)
    if not reason:
        raise InvalidInputError("hold: say why, by --reason; whoever wonders later will read it")
    done = source.hold(backup, label=label, reason=reason)
    output.document(done)
    output.say(f"hold {done.id} keeps {done.backup or f'all backups labelled {done.label!r}'}")


@on_repository
def holds(
    source: Repository,
    json: Json = False,
) -> None:
    """List what is held, and why."""
    found = source.holds()
    Output(json).rows([asdict(one) for one in found], HOLD_COLUMNS, empty="nothing is held")


@on_repository
def release(
    source: Repository,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A hold's id, or the backup or label that is held.")],
    json: Json = False,
) -> None:
    """End a hold, or all holds of a backup or label. Nothing is deleted by that."""
    output = Output(json)
    done = source.release(name)
    output.document(done)
    output.say(f"released {readable.plural(len(done), 'hold')}; the next expiry decides about what they kept")


@on_repository
def release_pin(
    source: Repository,
    id: Annotated[str, typer.Argument(metavar="ID", help="The pin's id, or its beginning.")],
    confirm: Annotated[bool, typer.Option("--confirm", help="Do it; without, only say what would be done.")] = False,
    json: Json = False,
) -> None:
    """Let go what a lazy restore keeps that is gone. `tiervdb catalog sql "from pins"` lists them."""
    output = Output(json)
    if confirm:
        source.release_pin(id)
    output.document({"pin": id, "released": confirm})
    output.say(f"released pin {id}" if confirm else f"would release pin {id}; say --confirm to do it")


def _duration(given: str) -> str | None:
    return None if given.strip().lower() in _NOTHING else given
