"""Draws the growth of cold searches as an SVG: three panels over the number of rows, on a logarithmic axis."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 960, 330
PANEL, LEFT, GAP = 196, 46, 122  # of a panel: its width; before the first; between two, with the names of lines
TOP, BOTTOM = 84, 268  # of the axes
FONT = "font-family='Helvetica, Arial, sans-serif'"
INK, PALE, GRID = "#1f2933", "#66727f", "#e4e8ec"
LINES = {"first": ("first query", "#c2410c"), "later": ("later ones", "#1d4ed8")}
LEAST_GAP = 16  # between two names

Figures = Mapping[int, Mapping[str, float]]


@dataclass(frozen=True)
class Panel:
    """``name``: of the figure, after ``first_`` and ``later_``. ``later``: queries that were never asked before."""

    title: str
    about: str
    name: str


PANELS = (
    Panel("Latency", "milliseconds, median; the store: 30", "ms"),
    Panel("Requests", "GETs of a query, side by side", "gets"),
    Panel("Traffic", "kilobytes of a query", "kb"),
)


def draw(found: Figures) -> str:
    """The figures of each number of rows, as ``growth.run`` gives them."""
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT}' width='{WIDTH}' height='{HEIGHT}' "
        f"role='img' aria-label='Cold search from {_short(min(found))} to {_short(max(found))} rows' {FONT}>",
        f"<rect width='{WIDTH}' height='{HEIGHT}' rx='8' fill='#ffffff'/>",
    ]
    for at, panel in enumerate(PANELS):
        parts += _panel(panel, LEFT + at * (PANEL + GAP), found)
    middle = (LEFT + WIDTH) / 2
    parts.append(_text(middle, HEIGHT - 20, "rows of the collection, all in the cold store", 12, PALE, "middle"))
    return "\n".join([*parts, "</svg>", ""])


def _panel(panel: Panel, left: float, found: Figures) -> list[str]:
    most = max(one[f"{kind}_{panel.name}"] for one in found.values() for kind in LINES)
    step = _step(most)
    top = step * math.ceil(most * 1.12 / step)

    def y(value: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * value / top

    xs = {count: left + x for count, x in _places(list(found)).items()}
    parts = [
        _text(left, 34, panel.title, 16, INK, weight="bold"),
        _text(left, 54, panel.about, 12, PALE),
    ]
    for number in range(round(top / step) + 1):
        height = y(number * step)
        parts.append(f"<path d='M{left:.1f} {height:.1f}h{PANEL}' stroke='{GRID if number else PALE}'/>")
        parts.append(_text(left - 8, height + 4, f"{number * step:g}", 11, PALE, "end"))
    for count, x in xs.items():
        parts.append(_text(x, BOTTOM + 20, _short(count), 12, INK, "middle"))
    lines = {kind: [(xs[n], y(one[f"{kind}_{panel.name}"])) for n, one in found.items()] for kind in LINES}
    higher = [first[1] <= later[1] for first, later in zip(lines["first"], lines["later"], strict=True)]
    for kind, above in (("first", higher), ("later", [not one for one in higher])):
        parts += _series(kind, lines[kind], [one[f"{kind}_{panel.name}"] for one in found.values()], above)
    return parts + _names({kind: points[-1] for kind, points in lines.items()})


def _series(
    kind: str, points: Sequence[tuple[float, float]], values: Sequence[float], above: Sequence[bool]
) -> list[str]:
    """A line, and its points with the figure at each, above or below it."""
    _, colour = LINES[kind]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    parts = [f"<polyline points='{path}' fill='none' stroke='{colour}' stroke-width='2.5' stroke-linejoin='round'/>"]
    for (x, y), value, over in zip(points, values, above, strict=True):
        parts.append(f"<circle cx='{x:.1f}' cy='{y:.1f}' r='4' fill='{colour}' stroke='#ffffff' stroke-width='1.5'/>")
        fits = y + 24 < BOTTOM  # between the point and the axis
        parts.append(_text(x, y + 18 if fits and not over else y - 9, _figure(value), 11, colour, "middle"))
    return parts


def _names(ends: Mapping[str, tuple[float, float]]) -> list[str]:
    """The name of each line at its end, pushed apart where two would meet."""
    upper, lower = sorted(ends, key=lambda kind: ends[kind][1])
    short = max(0.0, LEAST_GAP - (ends[lower][1] - ends[upper][1])) / 2
    parts = []
    for kind, shift in ((upper, -short), (lower, short)):
        x, y = ends[kind]
        name, colour = LINES[kind]
        parts.append(_text(x + 18, y + 4 + shift, name, 12, colour, weight="bold"))
    return parts


def _places(counts: Sequence[int]) -> dict[int, float]:
    """Where each number of rows stands in a panel."""
    low, high = math.log(min(counts)), math.log(max(counts))
    margin = 18
    return {count: margin + (PANEL - 2 * margin) * (math.log(count) - low) / (high - low) for count in counts}


def _step(most: float) -> float:
    """A round number, of which three to six make the axis."""
    rough = most / 4
    power: float = 10.0 ** math.floor(math.log10(rough))
    return float(next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough))


def _figure(value: float) -> str:
    return f"{value:.0f}" if value >= 20 or value == round(value) else f"{value:.1f}"


def _short(count: int) -> str:
    return f"{count / 1e6:g}M" if count >= 1_000_000 else f"{count / 1e3:.0f}k"


def _text(x: float, y: float, text: str, size: int, colour: str, anchor: str = "start", weight: str = "normal") -> str:
    return (
        f"<text x='{x:.1f}' y='{y:.1f}' font-size='{size}' fill='{colour}' text-anchor='{anchor}' "
        f"font-weight='{weight}'>{escape(text)}</text>"
    )
