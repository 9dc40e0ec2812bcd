"""A server process that several test processes share: the first to need it starts it, the last to go stops it.

Every user holds a shared lock on a file. A guard process waits for the exclusive lock on it, which the kernel grants
when the last user has released it or has died, however it died; then the guard stops the server and ends.

    python -m tests.support.shared_process LOCK_FILE COMMAND...        (the guard)
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_STOP_SECONDS = 1  # the data is thrown away: no need to let it end in its own time
_POLL_SECONDS = 0.05
_guards: list[subprocess.Popen[bytes]] = []  # kept: a collected Popen would warn about its running child


@contextmanager
def shared_process(
    folder: Path, start: Callable[[], tuple[list[str], dict[str, str], dict[str, int]]]
) -> Iterator[dict[str, int]]:
    """Joins or starts the server of this folder; yields what ``start`` said of it (its ports).

    ``start`` gives the command, its environment, and what to tell the others. Whoever uses it waits until it is ready.
    """
    folder.mkdir(parents=True, exist_ok=True)
    facts = folder / "server.json"
    with (folder / "users.lock").open("a") as users:
        with _locked(folder / "start.lock"):
            _join(users.fileno())  # waits while a guard is stopping the server
            if not _is_running(facts):
                command, environment, told = start()
                guard = [sys.executable, "-m", "tests.support.shared_process", str(folder / "users.lock"), *command]
                with (folder / "server.log").open("ab") as log:
                    process = subprocess.Popen(
                        guard,
                        env=os.environ | environment,
                        stdout=log,
                        stderr=log,
                        stdin=subprocess.DEVNULL,
                        start_new_session=True,
                        cwd=Path(__file__).parents[2],
                    )
                _guards.append(process)
                facts.write_text(json.dumps({"guard": process.pid, "told": told}))
        yield json.loads(facts.read_text())["told"]
    if _guards and "PYTEST_XDIST_WORKER" not in os.environ:
        _guards.pop().wait(_STOP_SECONDS + 5)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _join(descriptor: int) -> None:
    fcntl.flock(descriptor, fcntl.LOCK_SH)


def _is_running(facts: Path) -> bool:
    """Whether a guard that has not begun to stop is alive: it removes the facts first, under the exclusive lock."""
    if not facts.exists():
        return False
    try:
        os.kill(json.loads(facts.read_text())["guard"], 0)
    except ProcessLookupError:
        return False
    return True


def guard(lock: Path, command: list[str]) -> int:
    """Runs the server until nobody holds the lock."""
    server = subprocess.Popen(command)
    try:
        with lock.open("a") as users:
            while server.poll() is None:
                try:
                    fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    time.sleep(_POLL_SECONDS)
                    continue
                (lock.parent / "server.json").unlink(missing_ok=True)
                break
    finally:
        server.terminate()
        try:
            server.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
    return server.returncode


if __name__ == "__main__":
    sys.exit(guard(Path(sys.argv[1]), sys.argv[2:]))
