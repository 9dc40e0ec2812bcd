"""The command line's entry: all commands by name."""

from __future__ import annotations

import platform

import typer

import tiervdb
from tiervdb.cli import (
    adopt,
    agent,
    backups,
    catalog,
    cost,
    doctor,
    expiring,
    merging,
    pin,
    proving,
    recovering,
    report,
    restore,
    search,
    snapshot,
    tier,
    transfer,
)
from tiervdb.cli.demo import command
from tiervdb.cli.failure import Commands
from tiervdb.cli.options import Json
from tiervdb.cli.output import Output

app = typer.Typer(
    cls=Commands,
    help="An embedded, tiered vector database with recovery as a first-class feature.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("demo")(command.demo)
app.command("import")(transfer.import_)
app.command("export")(transfer.export)
app.command("search")(search.search)
app.add_typer(snapshot.app, name="snapshot")
app.command("clone")(snapshot.clone)
app.command("adopt")(adopt.adopt)
app.add_typer(pin.app, name="pin")
app.command("backup")(backups.backup)
app.command("archive")(backups.archive)
app.command("diff")(recovering.diff)
app.command("recover")(recovering.recover)
app.add_typer(backups.app, name="backups")
app.command("windows")(restore.windows)
app.command("history")(restore.history)
app.command("restore")(restore.restore)
app.command("attach")(restore.attach)
app.command("verify")(proving.verify)
app.add_typer(catalog.app, name="catalog")
app.command("expire")(expiring.expire)
app.command("merge-log")(merging.merge_log)
app.command("hold")(expiring.hold)
app.command("holds")(expiring.holds)
app.command("release")(expiring.release)
app.command("release-pin")(expiring.release_pin)
app.command("drill")(proving.drill)
app.command("copy")(proving.copy)
app.command("log")(report.log)
app.add_typer(tier.app, name="tier")
app.command("check")(report.check)
app.command("status")(report.status)
app.command("agent")(agent.agent)
app.command("agent-job", hidden=True)(agent.agent_job)
app.add_typer(agent.app, name="config")
app.command("plan-cost")(cost.plan_cost)
app.command("doctor")(doctor.doctor)


@app.command("version")
def version(json: Json = False) -> None:
    """Say which tiervdb this is."""
    output = Output(json)
    output.document({"tiervdb": tiervdb.__version__, "python": platform.python_version()})
    output.say(f"tiervdb {tiervdb.__version__} (Python {platform.python_version()})")


def run() -> None:
    """The ``tiervdb`` command."""
    app(prog_name="tiervdb")


if __name__ == "__main__":
    run()
