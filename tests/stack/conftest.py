"""docker/ and configs/ hold programs, not packages: tests import them from there."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path += [str(ROOT / "docker"), str(ROOT / "configs")]
