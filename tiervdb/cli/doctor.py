"""``tiervdb doctor``: what an object store really does."""

from __future__ import annotations

import random
import time
from dataclasses import asdict
from typing import Annotated

import typer

from tiervdb.backup import opened
from tiervdb.cli.options import Json
from tiervdb.cli.output import Output
from tiervdb.cli.repository import ConfigFile
from tiervdb.clock import SystemClock
from tiervdb.configuration.configuration import Configuration
from tiervdb.engine import store_record
from tiervdb.errors import StorageError
from tiervdb.format import paths, repository_paths
from tiervdb.storage.doctor import examine
from tiervdb.storage.doctor_report import StoreReport
from tiervdb.storage.open import open_store

KEPT = f"{repository_paths.REPOSITORY} of a repository or {paths.STORE}"


def doctor(
    url: Annotated[str, typer.Argument(metavar="URL", help="A directory, s3://bucket/prefix, an fsspec URL.")],
    record: Annotated[
        bool, typer.Option("--record", help=f"Keep what was found there, in {KEPT}: databases go by it.")
    ] = False,
    config: ConfigFile = None,
    json: Json = False,
) -> None:
    """Try out a store, below a random name that is deleted again; ends with exit code 8 if tiervdb cannot use it.

    A repository is told what was found, if only the short look of its creation is known there.
    """
    output = Output(json)
    clock = SystemClock()
    store = open_store(url if config is None else Configuration.load(config).place(url), create=False)
    try:
        report = examine(store, clock, random.SystemRandom(), time.perf_counter)
        recorded = report.usable and (record or opened.is_half_probed(store))
        if recorded:
            in_repository = opened.record_probe(store, store_record.of_report(report, clock))
            if not in_repository:
                store_record.write(store, report, clock)
    finally:
        store.close()
    said = {"usable": report.usable, "conditional": report.conditional, "recorded": recorded}
    output.document({**asdict(report), **said})
    _show(output, report, recorded)
    if not report.usable:
        raise typer.Exit(StorageError.exit_code)


def _show(output: Output, report: StoreReport, recorded: bool) -> None:
    rows = [[found.question, found.result, found.measured, found.meaning] for found in report.findings]
    output.table(["question", "answer", "measured", "for_tiervdb"], rows)
    output.say()
    if report.read_only:
        output.say(f"{report.url}: this key may read but not write: restoring and searching only", "bold red")
    elif not report.usable:
        output.say(f"{report.url}: not usable", "bold red")
    elif not report.conditional:
        output.say(f"{report.url}: usable in single-writer mode: never write to it from two machines", "yellow")
    else:
        output.say(f"{report.url}: usable")
    if recorded:
        output.say("recorded there")
