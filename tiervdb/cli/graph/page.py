"""The picture as one HTML page that loads nothing from anywhere."""

from __future__ import annotations

import html
import re
from importlib import resources

from tiervdb.cli.graph.packed import packed
from tiervdb.cli.graph.values import Graph

SCRIPTS = ("data", "axis", "lanes", "view", "marks", "charts", "list", "detail", "tree", "page")


def page(graph: Graph) -> str:
    """A whole page, to be written as UTF-8. No label in it can make a browser load or run anything."""
    parts = {
        "title": html.escape(graph.url).encode("ascii", "xmlcharrefreplace").decode(),
        "style": _asset("page.css"),
        "script": "\n".join(_asset(f"{name}.js") for name in SCRIPTS),
        "data": packed(graph),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _asset("page.html"))


def _asset(name: str) -> str:
    return resources.files("tiervdb.cli.graph").joinpath("assets", name).read_text(encoding="utf-8")
