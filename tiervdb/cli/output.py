"""What commands print: tables and progress bars on a terminal, plain text in a pipe, one JSON document with --json."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

NUMBER = re.compile(r"(-?[0-9][0-9,]*(\.[0-9]+)?( [A-Za-z]{1,2})?)?")
WIDTH_IN_A_PIPE = 200  # nothing is cut off where no terminal says how wide it is

Advance = Callable[[int, int | None], None]  # (done so far, total or None where nobody knows)


class Output:
    """One command's way to its reader.

    With ``json`` only ``document`` prints; everything meant for people is silent.
    """

    def __init__(self, json: bool) -> None:
        self.json = json
        self.console = console_for(sys.stdout)

    def say(self, text: str = "", style: str = "") -> None:
        """A line for people."""
        if not self.json:
            self.console.print(Text(text, style), soft_wrap=True)

    def document(self, value: Any) -> None:
        """The command's result, for programs: one JSON document."""
        if self.json:
            sys.stdout.write(msgspec.json.encode(value, enc_hook=plain).decode() + "\n")

    def rows(self, rows: Sequence[Mapping[str, Any]], show: Mapping[str, Callable[[Any], str]], empty: str) -> None:
        """A list of records: a JSON array, or a table of the columns in ``show``, each with what makes text of it."""
        self.document(list(rows))
        if rows:
            self.table(list(show), [[text(row.get(name)) for name, text in show.items()] for row in rows])
        else:
            self.say(empty)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table for people; numbers stand to the right."""
        if self.json:
            return
        table = Table(box=None, pad_edge=False, header_style="bold", show_header=any(columns))
        for at, name in enumerate(columns):
            numbers = all(is_number(row[at]) for row in rows)
            table.add_column(name.replace("_", " "), justify="right" if numbers else "left", overflow="fold")
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        self.console.print(table)

    @contextmanager
    def progress(self, label: str, unit: str = "rows") -> Iterator[Advance]:
        """A progress bar on a terminal, silence elsewhere."""
        if self.json or not self.console.is_terminal:
            yield silence
            return
        columns = (TextColumn(label), BarColumn(), MofNCompleteColumn(), TextColumn(unit), TimeElapsedColumn())
        with Progress(*columns, console=self.console, transient=True) as bar:
            task = bar.add_task(label, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)

    @contextmanager
    def working(self, label: str) -> Iterator[None]:
        """A sign on a terminal that something goes on, where nobody knows how long it takes."""
        if self.json or not self.console.is_terminal:
            yield
            return
        with self.console.status(label):
            yield


def silence(_done: int, _total: int | None) -> None:
    """Progress that nobody watches."""


def console_for(stream: Any) -> Console:
    """A console that keeps quiet about colours, and cuts nothing, where ``stream`` is not a terminal."""
    return Console(file=stream, width=None if stream.isatty() else WIDTH_IN_A_PIPE, highlight=False, emoji=False)


def plain(value: Any) -> Any:
    """What JSON knows instead of numpy's, Arrow's and path values."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, pa.Table):
        return value.to_pylist()
    if isinstance(value, pa.Array | pa.ChunkedArray):
        return value.to_pylist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def is_number(text: str) -> bool:
    """Whether a cell holds a number, with its unit or without: ``12``, ``1,234``, ``-0.5``, ``3.1 MB``, or nothing."""
    return NUMBER.fullmatch(text) is not None
