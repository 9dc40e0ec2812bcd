"""All benchmarks, or those that are named: ``python -m benchmarks [filtered hot cold untuned building commits ...]``.

Each runs in a process of its own, with databases built by this version of tiervdb; the peers' indexes are kept.
"""

from __future__ import annotations

import subprocess
import sys

from benchmarks.prepare import forget_ours

ALL = (
    *("opening", "commits", "hot", "filtered", "cold", "cold_load", "growth", "building", "untuned"),
    *("recovery", "recovery_latency", "archived_log", "catalog"),
)


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in ALL]
    if unknown:
        print(f"benchmarks: {', '.join(unknown)}: not known; there are {', '.join(ALL)}", file=sys.stderr)
        return 2
    forget_ours()
    failed = []
    for name in names or ALL:
        print(f"\n== {name}", flush=True)
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode:
            failed.append(name)
    if failed:
        print(f"benchmarks: did not finish: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
