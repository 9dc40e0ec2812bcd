"""How long, as people write it: "30s", "15m", "12h", "14d", "8w", "2y"."""

from __future__ import annotations

import re

_WRITTEN = re.compile(r"(\d+)\s*([smhdwy])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "y": 31_536_000}


def seconds(text: str) -> float | None:
    """None for what is no duration."""
    found = _WRITTEN.fullmatch(text.strip())
    return None if found is None else float(int(found[1]) * _SECONDS[found[2]])
