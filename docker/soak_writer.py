"""The application of the soak: soak_writer.py CONFIG DATABASE REST writes until it is killed.

A commit every REST seconds, and one at once for each byte on standard input. It says each that was acknowledged, and
what ``status`` shows then, as a JSON line on standard output. What is refused is tried again after opening anew.
"""

from __future__ import annotations

import json
import os
import select
import sys
import time
from pathlib import Path
from typing import Any

import soak_truth

from tiervdb.clock import SystemClock
from tiervdb.configuration.configuration import Configuration, DatabaseConfiguration
from tiervdb.errors import FencedError, TiervdbError

FLUSH_EVERY = 40  # commits
AGAIN_SECONDS = 0.5
CLOCK = SystemClock()


def main(arguments: list[str]) -> None:
    config, name, rest = arguments
    database = Configuration.load(Path(config))[name]
    timeline = ""
    while True:
        try:
            with database.open(create=False, read_only=True) as db:
                timeline = db.status().timeline
            write(database, timeline, float(rest))
        except FencedError:
            raise
        except TiervdbError as error:
            tell("refused", timeline, error=f"{type(error).__name__}: {error}")
            time.sleep(AGAIN_SECONDS)


def write(database: DatabaseConfiguration, timeline: str, rest: float) -> None:
    """Until something is refused."""
    with database.open(create=False) as db:
        tell("opened", timeline, seq=db.seq)
        while True:
            wanted = db.seq + 1
            seq = soak_truth.commit(db, timeline, wanted)
            acked_us = shown_us = CLOCK.now_us()
            status = db.status()
            tell(
                "done",
                timeline,
                seq=seq,
                wanted=wanted,
                acked_us=acked_us,
                shown_us=shown_us,
                lag_us=round((status.archive_lag or 0) * 1e6),
                archived=status.archived_seq,
            )
            if seq % FLUSH_EVERY == 0:
                db.flush()
            wait(rest)


def wait(rest: float) -> None:
    """Until it is time for a commit. Ends this process if nobody is there any more to ask for one."""
    ready, _, _ = select.select([sys.stdin], [], [], rest)
    if ready and not os.read(sys.stdin.fileno(), 1):
        raise SystemExit


def tell(event: str, timeline: str, **fields: Any) -> None:
    """Straight into the pipe: what was read there cannot be lost in a buffer."""
    os.write(sys.stdout.fileno(), json.dumps({"event": event, "timeline": timeline, **fields}).encode() + b"\n")


if __name__ == "__main__":
    main(sys.argv[1:])
