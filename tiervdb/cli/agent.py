"""``tiervdb agent`` and ``config check``: what is left running, and the file that it reads."""

from __future__ import annotations

import logging
import random
import signal
import sys
import threading
from pathlib import Path
from typing import Annotated

import typer

from tiervdb.agent import jobs
from tiervdb.agent.agent import Agent, check_every, say
from tiervdb.agent.metrics import MetricsServer, StandingCollector, registry_of
from tiervdb.agent.standing import Standing, look
from tiervdb.cli import readable
from tiervdb.cli.failure import Commands
from tiervdb.cli.options import Json
from tiervdb.cli.output import Output
from tiervdb.cli.wording import in_commands
from tiervdb.clock import SystemClock
from tiervdb.configuration import reading, world
from tiervdb.configuration.configuration import Configuration
from tiervdb.errors import InvalidInputError, StateError

ConfigFile = Annotated[Path, typer.Option("--config", envvar="TIERVDB_CONFIG", help="Configuration file (TOML).")]
app = typer.Typer(cls=Commands, help="Configuration files.", no_args_is_help=True)


def agent(
    config: ConfigFile,
    once: Annotated[bool, typer.Option("--once", help="Do what is due, and end: for cron.")] = False,
    json: Json = False,
) -> None:
    """Keep databases safe by schedule: archive, back up, verify, drill, expire, merge, copy. One JSON line an event."""
    loaded = Configuration.load(config)
    _log_to_stderr()
    clock = SystemClock()
    running = Agent(loaded, clock, random.SystemRandom())
    output = Output(json)
    if once:
        done = running.run_due()
        running.close()
        output.document({"jobs": done})
        output.say(f"did {', '.join(done)}" if done else "nothing was due")
        _require_well([look(database, clock.now_us()) for database in loaded.databases.values()])
        return
    _keep_running(loaded, running)


def agent_job(
    config: ConfigFile,
    database: Annotated[str, typer.Option("--database")],
    job: Annotated[str, typer.Option("--job")],
    json: Json = False,
) -> None:
    """Do one job of the agent now, due or not."""
    output = Output(json)
    summary = jobs.run(Configuration.load(config)[database], job)
    output.document({"job": job, "summary": summary})
    output.say(summary or "there was nothing to do")


@app.command("check")
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Configuration file (TOML).")],
    only_file: Annotated[
        bool, typer.Option("--only-file", help="Not whether keys, variables and directories are there on this machine.")
    ] = False,
    connect: Annotated[bool, typer.Option("--connect", help="Also ask each store, with credentials and keys.")] = False,
    json: Json = False,
) -> None:
    """Read a configuration file, look at what it names, and report every mistake, by line and key. Changes nothing."""
    output = Output(json)
    loaded, mistakes = reading.read(file)
    if loaded is not None and not only_file:
        mistakes = world.look(Configuration.of(file, loaded), loaded, connect=connect)
    output.document({"ok": not mistakes, "mistakes": mistakes})
    for mistake in mistakes:
        output.say(in_commands(str(mistake)), "red")
    if mistakes or loaded is None:
        raise InvalidInputError(f"{readable.plural(len(mistakes), 'mistake')} in {file}")
    output.say(f"{file} is fine: {', '.join(loaded.databases)}")


def standings(config: Path, json: bool) -> None:
    """How all databases of a configuration stand; StateError if one has an alert."""
    output = Output(json)
    loaded = Configuration.load(config)
    now_us = SystemClock().now_us()
    found = [look(database, now_us) for database in loaded.databases.values()]
    output.document(found)
    for standing in found:
        _show(output, standing, loaded)
    _require_well(found)


def _show(output: Output, standing: Standing, config: Configuration) -> None:
    database = config[standing.database]
    output.say(f"{standing.database}: {'well' if standing.ok else 'NOT WELL'}", "bold" if standing.ok else "bold red")
    objectives = database.objectives
    output.table(
        ["", "measured", "objective"],
        [
            ["archive lag (RPO)", _seconds(standing.rpo_seconds), objectives["rpo"]],
            ["first answer of the last good drill (RTO)", _seconds(standing.rto_seconds), objectives["rto"]],
            ["last backup", readable.moment(standing.last_backup) or "never", objectives["backup_age"]],
            ["last good drill", readable.moment(standing.last_drill) or "never", objectives["drill_age"]],
            ["restorable from", readable.moment(standing.window_first), ""],
            ["restorable to", readable.moment(standing.window_last), ""],
            ["rows", readable.text(standing.rows), ""],
            *[[f"{tier} tier", readable.size(count), ""] for tier, count in standing.bytes_by_tier.items()],
        ],
    )
    rows = [
        [name, readable.moment(job.done) or "never", "failing" if job.failed else "", readable.moment(job.next)]
        for name, job in standing.jobs.items()
    ]
    output.table(["job", "last done", "", "next"], rows)
    for alert in standing.alerts:
        output.say(f"{alert.name}: {alert.problem}. What to do: {alert.todo}", "red")
    output.say()


def _seconds(value: float | None) -> str:
    return "not known" if value is None else f"{value:,.1f} s"


def _require_well(found: list[Standing]) -> None:
    ill = [standing for standing in found if not standing.ok]
    if ill:
        alerts = "; ".join(f"{s.database}: {', '.join(alert.name for alert in s.alerts)}" for s in ill)
        raise StateError(f"not all is well: {alerts}. `tiervdb status --config` says what to do")


def _keep_running(loaded: Configuration, running: Agent) -> None:
    """Until SIGTERM or SIGINT; what runs then comes to its end."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    say("running", config=loaded.path, databases=list(loaded.databases), listen=loaded.agent["listen"] or None)
    seen: list[Standing] = []
    server = None
    if loaded.agent["listen"]:
        collector = registry_of(StandingCollector(lambda: seen))
        server = MetricsServer(loaded.agent["listen"], collector, lambda: all(s.ok for s in seen))
    try:
        while not stop.is_set():
            running.tick()
            now_us = SystemClock().now_us()
            seen[:] = [look(database, now_us) for database in loaded.databases.values()]
            stop.wait(check_every(loaded))
    finally:
        say("stopping")
        running.close()
        if server is not None:
            server.close()


def _log_to_stderr() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    log = logging.getLogger("tiervdb.agent")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
