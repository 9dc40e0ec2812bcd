"""Soak of the stack: a seeded random driver kills, stops, delays and loses, and checks after each step that nothing is.

    python docker/soak.py                  one deck of steps, under a minute
    python docker/soak.py --minutes 60     for an hour
    python docker/soak.py --seed 7 --minutes 10 --server seaweedfs

The same seed makes the same steps; what happens within them depends on the machine. All that it makes is in
--directory; the one that it makes by itself is removed, unless something is found.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

from soak_stack import Stack, stack
from soak_steps import LONG, SHORT, Soak

from tiervdb.cli.output import Output

CALM_EVERY = 4  # decks


def main(arguments: list[str] | None = None) -> int:
    asked = _arguments(arguments)
    output = Output(asked.json)
    seed = random.SystemRandom().randrange(1_000_000) if asked.seed is None else asked.seed
    root = Path(tempfile.mkdtemp(prefix="tiervdb-soak-")) if asked.directory is None else asked.directory.resolve()
    rest = asked.rest or (1.0 if asked.minutes else 0.3)
    output.say(f"seed {seed}, in {root}", "bold")
    output.document({"seed": seed, "minutes": asked.minutes, "directory": root})
    try:
        with stack(root, asked.server, rest, busy=asked.minutes > 0) as running:
            done = run(running, seed, asked.minutes, asked.steps, output)
    except KeyboardInterrupt:
        output.say(f"stopped; data and logs are in {root}")
        return 130
    if done and asked.directory is None:
        shutil.rmtree(root)
    return 0 if done else 1


def run(running: Stack, seed: int, minutes: float, steps: int | None, output: Output) -> bool:
    """Whether everything held."""
    soak = Soak(running, seed, quick=minutes == 0)
    started, number = time.monotonic(), 0
    try:
        for number, name in enumerate(plan(soak, seed, started + 60 * minutes, minutes), start=1):
            began = time.monotonic()
            said = play(soak, name)
            soak.world.require_all(every_window=not soak.quick)
            seconds = time.monotonic() - began
            output.say(f"{number:4}  {name:22} {seconds:5.1f} s  {said}")
            output.document({"step": number, "name": name, "seconds": round(seconds, 2), "said": said})
            if number == steps:
                break
    except Exception as error:  # noqa: BLE001  (whatever it is, it was found)
        tell_failure(soak, number, name, error, minutes, output)
        return False
    total = {
        "ok": True,
        "steps": number,
        "seconds": round(time.monotonic() - started, 1),
        "server": running.running.kind,
        "acknowledged": {name: told.acked for name, told in soak.world.told.items()},
        "restores": soak.world.restores,
        "looks": soak.world.looks,
        "alerts": soak.world.raised,
        "most_behind": soak.world.most_behind,
    }
    output.say("everything held: " + ", ".join(f"{key} {value}" for key, value in total.items() if key != "ok"), "bold")
    output.document(total)
    return True


def plan(soak: Soak, seed: int, deadline: float, minutes: float) -> Iterator[str]:
    """The names of the steps: the first day, then decks of cards until the time is over; calm at times and at last."""
    order = random.Random(f"order {seed}")  # noqa: S311  (it has to be drawn again)
    yield "begin"
    decks = 0
    while decks == 0 or time.monotonic() < deadline:
        deck = list(SHORT if minutes == 0 else LONG)
        order.shuffle(deck)
        later = []
        for name in deck:
            if soak.cards()[name][0]():
                yield name
            else:
                later.append(name)
            if decks and time.monotonic() > deadline and soak.world.whole:
                break
        yield from (name for name in later if soak.cards()[name][0]())
        decks += 1
        if minutes and decks % CALM_EVERY == 0:
            yield "calm"
    if minutes:
        yield "calm"


def play(soak: Soak, name: str) -> str:
    if name in {"begin", "calm"}:
        return soak.begin() if name == "begin" else soak.calm()
    return soak.cards()[name][1]()


def tell_failure(soak: Soak, number: int, name: str, error: Exception, minutes: float, output: Output) -> None:
    """All that is needed to look at it, and to do it again."""
    root = soak.stack.running.root
    again = f"python docker/soak.py --seed {soak.seed} --server {soak.stack.running.kind} --minutes {minutes:g}"
    failed = {"ok": False, "step": number, "name": name, "error": f"{type(error).__name__}: {error}", "again": again}
    (root / "failure.txt").write_text(f"{failed}\n\n{''.join(traceback.format_exception(error))}")
    output.document(failed | {"directory": root})
    output.say(f"step {number}, {name}: {failed['error']}", "bold red")
    output.say(f"data, logs and failure.txt are in {root}; to do it again: {again}", "red")


def _arguments(given: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=0, help="how long; 0: one short deck  [0]")
    parser.add_argument("--steps", type=int, help="at most so many")
    parser.add_argument("--seed", type=int, help="of the steps  [random]")
    parser.add_argument("--rest", type=float, help="seconds between commits of a writer  [0.3, for minutes 1]")
    parser.add_argument("--directory", type=Path, help="data and logs  [a new one, removed if all held]")
    parser.add_argument("--server", choices=("minio", "seaweedfs"), help="[MinIO if there is one, else SeaweedFS]")
    parser.add_argument("--json", action="store_true", help="one JSON line a step instead of words")
    return parser.parse_args(given)


if __name__ == "__main__":
    sys.exit(main())
