"""The picture of a backup repository: as one HTML page, and as text for a terminal."""

from tiervdb.cli.graph.page import page
from tiervdb.cli.graph.reading import read
from tiervdb.cli.graph.summary import Summary, summary
from tiervdb.cli.graph.text import text
from tiervdb.cli.graph.values import (
    BackupNode,
    CopyNode,
    DrillNode,
    Edge,
    Gap,
    Graph,
    RestoreNode,
    Span,
    Timeline,
)

__all__ = [
    "BackupNode",
    "CopyNode",
    "DrillNode",
    "Edge",
    "Gap",
    "Graph",
    "RestoreNode",
    "Span",
    "Summary",
    "Timeline",
    "page",
    "read",
    "summary",
    "text",
]
