"""Results: tables with a target a line, printed as Markdown and kept beside the data."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from benchmarks.workplace import home

Cell = str | float | int | bool | None


@dataclass
class Table:
    """A table of one benchmark. ``notes``: lines below it."""

    title: str
    header: tuple[str, ...]
    rows: list[tuple[Cell, ...]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, *cells: Cell) -> None:
        """Adds a line, and shows it at once."""
        self.rows.append(cells)
        print("  " + "  ".join(_text(cell) for cell in cells), flush=True)

    def markdown(self) -> str:
        """The table as docs/benchmarks.md has it."""
        lines = [f"### {self.title}", "", _line(self.header), _line(["---"] * len(self.header))]
        lines += [_line([_text(cell) for cell in row]) for row in self.rows]
        return "\n".join([*lines, *(["", *self.notes] if self.notes else []), ""])


def publish(benchmark: str, tables: Sequence[Table]) -> None:
    """Prints the tables and keeps them as JSON and Markdown under ``results``."""
    folder = home() / "results"
    folder.mkdir(exist_ok=True)
    text = "\n".join(table.markdown() for table in tables)
    (folder / f"{benchmark}.md").write_text(text, encoding="utf-8")
    (folder / f"{benchmark}.json").write_text(
        json.dumps([asdict(table) for table in tables], indent=1), encoding="utf-8"
    )
    print(f"\n{text}", flush=True)


def met(reached: bool) -> str:
    """How a target's line ends."""
    return "met" if reached else "MISSED"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _text(cell: Cell) -> str:
    if isinstance(cell, float):
        return f"{cell:.3f}" if cell < 10 else f"{cell:,.0f}"
    return "" if cell is None else str(cell)
