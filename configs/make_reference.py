"""Writes configs/reference.toml: every option of tiervdb/configuration/options.py, its default and meaning beside it.

python configs/make_reference.py
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tiervdb.configuration import options
from tiervdb.configuration.options import Table

FILE = Path(__file__).with_name("reference.toml")
HEAD = """\
# Every option, with its default and its meaning beside it. `tiervdb config check FILE` names every mistake of a file.
# "" is none. Durations: "30s", "15m", "12h", "14d", "8w", "2y". Schedules: cron expressions of five fields, in UTC.
# Relative paths begin at the folder of the configuration file. Secrets never stand here: name environment variables.
# Written by configs/make_reference.py from tiervdb/configuration/options.py.
"""
EXAMPLES = {"path": "words-db", "repository": "words-repository"}  # a database needs at least one of them
WIDTH = 38


def text() -> str:
    parts = [HEAD, *_table("agent", options.AGENT, "of the agent itself")]
    parts += _table("stores.NAME", options.STORE, "credentials and addresses, as many tables as there are stores")
    for name, table in options.PARTS.items():
        parts += _table(f"defaults.{name}", table, f"for all databases; [databases.NAME.{name}] for one of them")
    parts += _table("databases.NAME", options.DATABASE, "as many tables as there are databases", EXAMPLES)
    return "\n".join(parts) + "\n"


def _table(name: str, table: Table, what: str, examples: Mapping[str, str] = {}) -> Iterator[str]:
    yield ""
    yield f"[{name}] # {what}"
    for option, found in table.items():
        value = examples.get(option, found.default)
        unless = f"{_toml(found.default)} by default: " if option in examples else ""
        yield f"{f'{option} = {_toml(value)}':{WIDTH}} # {unless}{found.meaning}"


def _toml(value: Any) -> str:
    return json.dumps(list(value) if isinstance(value, tuple) else value)


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
