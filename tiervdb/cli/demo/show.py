"""What the demo tells the person who watches it."""

from __future__ import annotations

import shlex

import tiervdb
from tiervdb.cli.demo.disaster import BackedUp, Drilled, Restored
from tiervdb.cli.demo.kill import KillReport
from tiervdb.cli.demo.place import Place
from tiervdb.cli.demo.steps import Demoted, Loaded, LookedBack, Searched
from tiervdb.cli.output import Output
from tiervdb.cli.readable import milliseconds, plural, size

FATES = {
    "absent": "is not there at all",
    "whole": "is there, whole: it had reached the disk, only the answer had not gone out",
    "torn": "IS THERE IN PART",
    None: "",
}


def title(output: Output, number: int, text: str) -> None:
    output.say()
    output.say(f"{number}. {text}", style="bold")


def loaded(output: Output, step: Loaded) -> None:
    rate = step.rows / step.seconds
    output.say(
        f"   {plural(step.rows, 'word')} in {plural(step.commits, 'commit')}, each on disk before the next began:"
    )
    output.say(f"   {milliseconds(step.seconds)}, {rate:,.0f} words a second")


def demoted(output: Output, step: Demoted) -> None:
    output.say(f"   {plural(step.rows, 'word')} went to {step.cold_url}")
    output.say(
        f"   as {size(step.bytes)} of Parquet, in {milliseconds(step.seconds)}; {step.hot_rows:,} stay on local disk"
    )


def searched(output: Output, steps: list[Searched]) -> None:
    for step in steps:
        if step.question:
            output.say(f"   {step.question}:  {', '.join(step.found)}")
    output.say()
    columns = ["   what each did", "tiers", "took", "GETs", "read", "cache hits"]
    output.table(columns, [["   " + step.label, *work_of(step.stats)] for step in steps])


def work_of(stats: tiervdb.SearchStats) -> list[str]:
    tiers = " + ".join(stats.tiers)
    return [tiers, milliseconds(stats.seconds), f"{stats.gets:,}", size(stats.bytes), f"{stats.cache_hits:,}"]


def killed(output: Output, report: KillReport) -> None:
    between = report.unacknowledged is None
    moment = (
        f"after number {report.acknowledged:,}" if between else f"in the midst of number {report.acknowledged + 1:,}"
    )
    output.say(f"   Another process wrote commits without a pause, and was killed {moment}.")
    there = f"{report.seqs_found:,} of {report.acknowledged:,} acknowledged commits are there"
    rows = f"{report.rows_found:,} of {report.rows_acknowledged:,} rows, bit for bit"
    output.say(
        f"   Reopened in {milliseconds(report.recovery_seconds)}: {there}, {rows}.", "" if report.held else "bold red"
    )
    if report.unacknowledged is not None:
        output.say(f"   The commit that was being written {FATES[report.unacknowledged]}. Nobody had been told of it.")
    output.say(
        "   (SIGKILL loses what a process held, not what the kernel holds: `make crash` also drops unsynced bytes.)",
        "dim",
    )


def backed_up(output: Output, step: BackedUp, place: Place) -> None:
    output.say(
        f"   {size(step.bytes)} in {plural(step.files, 'file')} to {place.repository}, both tiers with their indexes,"
    )
    output.say(
        f"   in {milliseconds(step.seconds)} while the database is open; a second one sent {size(step.again_bytes)}."
    )
    output.say("   From now on every commit is archived there within a second.")


def restored(output: Output, step: Restored, place: Place) -> None:
    for window in step.windows:
        output.say(f"   What can be restored: commits {window.first_seq} to {window.last_seq},")
        output.say(f"   any moment from {window.first_time.isoformat()} to {window.last_time.isoformat()}")
    output.say(f"   {place.words} deleted, and restored to right before {step.moment.isoformat()}")
    output.say(f"   in {milliseconds(step.seconds)}: {step.rows:,} words are there, {step.same:,} of them bit for bit.")


def drilled(output: Output, step: Drilled) -> None:
    for line in str(step.drill).splitlines():
        output.say(f"   {line}")
    for line in step.query.splitlines():
        output.say(f"   {line}", "dim")
    output.say(
        f"   Restorable up to commit {step.commits}; the newest moment is {step.newest_seconds:.1f} s old; proven "
        f"{step.proven_seconds:.1f} s ago."
    )


def looked_back(output: Output, step: LookedBack) -> None:
    output.say(f"   Snapshot taken in {milliseconds(step.snapshot_seconds)}; nothing was copied.")
    output.say(
        f"   Deleted {plural(step.deleted, 'word')} in {milliseconds(step.delete_seconds)}: {step.live_rows:,} left."
    )
    same = "the same answers" if step.same_answers else "OTHER ANSWERS"
    output.say(f"   The snapshot still has {step.snapshot_rows:,}, and gives {same} as before to 50 exact searches.")
    output.say(
        f"   A clone of it, {step.clone_rows:,} words, was made and opened in {milliseconds(step.clone_seconds)}."
    )


def farewell(output: Output, place: Place, seconds: float) -> None:
    words, copy, repository, then = (
        shlex.quote(str(path)) for path in (place.words, place.copy, place.repository, place.root / "then")
    )
    output.say()
    output.say(
        f"Done in {seconds:.0f} s. The databases stay: {place.words} and its clone {place.copy}. Things to try:", "bold"
    )
    for command in (
        f"tiervdb search {words} words --like ocean",
        f'tiervdb search {words} words --like music --where "length = ?" --param 5 --columns rank --explain',
        f"tiervdb windows --repository {repository}",
        f"tiervdb restore {then} --repository {repository} --target snapshot:before-the-delete",
        f"tiervdb verify --deep --repository {repository}",
        f"tiervdb catalog graph --repository {repository}",
        f"tiervdb expire --repository {repository}",
        f"tiervdb status {words}",
        f"tiervdb log {words} -n 5",
        f"tiervdb tier promote {words} words --dry-run",
        f"tiervdb check {copy}",
    ):
        output.say(f"   {command}")
