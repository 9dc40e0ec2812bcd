"""The stack without Docker: an S3 server with a bucket, a second one off-site, an application, and the agent.

    python docker/stack.py up       runs until Ctrl-C, and goes on from where it was the next time
    python docker/stack.py demo     loses a machine and a bucket, and restores; under two minutes

All that it makes is in --directory.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import stack_demo
from stack_processes import Running, directory, keys

from tiervdb.cli.output import Output

DIRECTORY = Path("stack-data")
MARK = "made-by-stack-demo"  # only a directory that holds it is ever replaced
READY_SECONDS = 60
POLL_SECONDS = 0.2


def main(arguments: list[str] | None = None) -> int:
    asked = _arguments(arguments)
    output = Output(asked.json)
    os.environ.update(keys())  # the configuration names these variables
    try:
        if asked.command == "demo":
            return demo(asked, output)
        return up(asked, output)
    except KeyboardInterrupt:
        return 130 if asked.command == "demo" else 0


def up(asked: argparse.Namespace, output: Output) -> int:
    """Everything, until it is stopped or a service ends by itself."""
    with directory(asked.directory or DIRECTORY, asked.server, scratch=False) as running:
        for service in running.services().values():
            output.say(f"starting {service.name}", "dim")
            (running.run if service.ends else running.start)(service.name)
        wait_for_agent(running)
        tell(running, output)
        while (ended := running.ended()) is None:
            time.sleep(POLL_SECONDS)
        output.say(f"{ended} ended by itself:\n{running.log_end(ended)}", "red")
        return 1


def demo(asked: argparse.Namespace, output: Output) -> int:
    """From nothing, on free ports, so beside a stack that is up."""
    root = asked.directory or DIRECTORY / "demo"
    empty(root)
    with directory(root, asked.server, scratch=True) as running:
        if stack_demo.run(running, output):
            return 0
        output.say("NOT everything was as it was written: see above, and please report it", "bold red")
        return 7


def wait_for_agent(running: Running) -> None:
    """Until it answers, well or not: the first backup takes a while."""
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            urllib.request.urlopen(f"http://{running.place.agent}/metrics", timeout=2).close()
            return
        except (urllib.error.URLError, OSError) as error:
            if running.ended() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the agent does not answer: {error}\n{running.log_end('agent')}") from error
            time.sleep(POLL_SECONDS)


def tell(running: Running, output: Output) -> None:
    """Where everything is."""
    place = running.place
    output.table(
        ["", ""],
        [
            [f"bucket ({running.kind})", f"http://{place.store.reach}"],
            [f"off-site ({running.kind})", f"http://{place.offsite.reach}"],
            ["agent", f"http://{place.agent}/metrics and /healthz"],
            ["configuration", place.config],
            ["data and logs", str(running.root)],
        ],
    )
    output.say("Ctrl-C stops all of it. How the database stands, asked with the credentials of the stack:")
    output.say(
        f"  set -a; . {shlex.quote(str(running.credentials))}; tiervdb status --config {shlex.quote(place.config)}"
    )


def empty(root: Path) -> None:
    """An empty directory; SystemExit for one that an earlier demo did not make."""
    if (root / MARK).is_file():
        shutil.rmtree(root)
    elif root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise SystemExit(f"{root} exists and is not an earlier demo's; choose another --directory")
    root.mkdir(parents=True)
    (root / MARK).write_text("This directory was made by docker/stack.py demo, and the next run replaces it.\n")


def _arguments(given: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("up", "demo"))
    parser.add_argument("--directory", type=Path, help="data, logs, ports  [./stack-data; demo: ./stack-data/demo]")
    parser.add_argument("--server", choices=("minio", "seaweedfs"), help="[MinIO if there is one, else SeaweedFS]")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of words")
    return parser.parse_args(given)


if __name__ == "__main__":
    sys.exit(main())
