"""Every option of a configuration file: its name, what it takes, its default and its meaning.

configs/reference.toml shows all of them; a test compares.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cronsim import CronSim, CronSimError

from tiervdb import durations
from tiervdb.clock import SystemClock
from tiervdb.types import to_datetime

Read = Callable[[Any], Any]  # the value, or ValueError saying what it should be


@dataclass(frozen=True)
class Option:
    """``read``: makes the value of what the file says."""

    read: Read
    default: Any
    meaning: str


Table = Mapping[str, Option]


def text(given: Any) -> str:
    if not isinstance(given, str):
        raise ValueError("give a text, in quotes")
    return given


def command(given: Any) -> str:
    try:
        shlex.split(text(given))
    except ValueError as error:
        raise ValueError(f"give a command as a shell would split it ({error})") from error
    return str(given)


def texts(given: Any) -> tuple[str, ...]:
    if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
        raise ValueError('give a list of texts, ["s3://bucket/"]')
    return tuple(given)


def whole(least: int) -> Read:
    def read(given: Any) -> int:
        if isinstance(given, bool) or not isinstance(given, int) or given < least:
            raise ValueError(f"give a whole number from {least} on")
        return given

    return read


def share(given: Any) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given <= 1:
        raise ValueError("give a share from 0 to 1, 0.05")
    return float(given)


def choice(*allowed: str) -> Read:
    def read(given: Any) -> str:
        if given not in allowed:
            raise ValueError(f"give one of {', '.join(allowed)}")
        return str(given)

    return read


def duration(given: Any) -> str:
    """Kept as it was written."""
    if not isinstance(given, str) or (given and durations.seconds(given) is None):
        raise ValueError('give a duration, "30s", "15m", "12h", "14d", or "" for none')
    return given.strip()


def cron(given: Any) -> str:
    """Five fields, in UTC; "" for never."""
    if not isinstance(given, str):
        raise ValueError('give a cron expression, "0 3 * * *", or "" for never')
    if given.strip():
        try:
            next(CronSim(given, to_datetime(SystemClock().now_us())))
        except (CronSimError, StopIteration) as error:
            wanted = 'give a cron expression of five fields that fires some day, "0 3 * * *"'
            raise ValueError(f"{wanted}: {error}") from error
    return given.strip()


def address(given: Any) -> str:
    if not isinstance(given, str) or (given and re.fullmatch(r"[^:\s]+:\d{1,5}", given) is None):
        raise ValueError('give host:port, "127.0.0.1:9464", or "" for none')
    return given


AGENT: Table = {
    "listen": Option(address, "127.0.0.1:9464", "where /metrics and /healthz answer; none: nowhere"),
    "check_every": Option(duration, "10s", "how often the agent looks what is due"),
    "parallel": Option(whole(1), 2, "jobs at a time"),
}
STORE: Table = {
    "urls": Option(texts, (), "URLs that begin with one of these use what follows"),
    "endpoint_url": Option(text, "", "of an S3 server that is not AWS"),
    "profile": Option(text, "", "of the AWS configuration files"),
    "key_env": Option(text, "", "environment variable with the access key"),
    "secret_env": Option(text, "", "environment variable with the secret key"),
    "region": Option(text, "", "of the bucket"),
}
_KEYS: Table = {
    "key_file": Option(text, "", "file with the key of the encrypted repository"),
    "key_env": Option(text, "", "environment variable with it"),
    "key_command": Option(command, "", "command that prints it"),
}
DATABASE: Table = {
    "path": Option(text, "", "its directory; none: only its repository is looked after"),
    "cold": Option(text, "", "its cold store; none: a subdirectory, or what it remembers"),
    "repository": Option(text, "", "where its backups and archived log go"),
    **_KEYS,
    "archive": Option(choice("async", "sync", "off"), "async", "how the log is archived when the application opens it"),
}
OBJECTIVES: Table = {
    "rpo": Option(duration, "5m", "the newest restorable moment is not older"),
    "rto": Option(duration, "1h", "a drill's first answer comes within this time"),
    "backup_age": Option(duration, "26h", "the newest backup is not older"),
    "drill_age": Option(duration, "8d", "the last drill that went well is not older"),
}
SCHEDULE: Table = {
    "archive": Option(cron, "* * * * *", "ships the log of a database that nobody has open"),
    "snapshot": Option(cron, "", "takes a snapshot, if nobody has the database open"),
    "backup": Option(cron, "0 3 * * *", "makes a backup, beside the writer if there is one"),
    "verify": Option(cron, "0 5 * * 0", "looks whether all is there, and reads a share of it"),
    "drill": Option(cron, "0 6 * * 0", "restores to a random point and checks it"),
    "expire": Option(cron, "0 7 * * *", "expires by the retention policy"),
    "merge": Option(cron, "40 * * * *", "merges small parts of the log, where expire is scheduled too"),
    "copy": Option(cron, "0 8 * * *", "copies to the off-site repository, if one is named"),
    "deadline": Option(duration, "6h", "a job that takes longer is stopped"),
    "verify_sample": Option(share, 0.05, "the share that a verification reads; 1: all"),
    "snapshot_expires": Option(duration, "7d", "when a scheduled snapshot is forgotten"),
    "drill_scratch": Option(text, "", "directory with room for a drill; none: the system's for temporary files"),
}
RETENTION: Table = {
    "pitr": Option(duration, "14d", "every commit of so long stays restorable"),
    "hourly": Option(whole(0), 0, "newest backup of each of the last so many hours"),
    "daily": Option(whole(0), 30, "... days"),
    "weekly": Option(whole(0), 12, "... weeks"),
    "monthly": Option(whole(0), 24, "... months"),
    "yearly": Option(whole(0), 0, "... years"),
    "min_backups": Option(whole(1), 2, "so many of the newest stay anyway"),
    "require_restorable": Option(duration, "7d", "what can be restored of so long must stay so"),
    "lock": Option(duration, "7d", "Object Lock of what is kept, where the store has it"),
}
OFFSITE: Table = {"url": Option(text, "", "a second repository, elsewhere"), **_KEYS}
PARTS: Mapping[str, Table] = {
    "objectives": OBJECTIVES,
    "schedule": SCHEDULE,
    "retention": RETENTION,
    "offsite": OFFSITE,
}
